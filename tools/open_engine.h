// Opens a model so that losing its file ends the command with an error and not with a bare signal.
#pragma once

#include <reform/engine.h>

#include <memory>
#include <string>

namespace reform::tool {

class Output;

// Weights are read from a mapping of the model's file. If the file is cut short, or its disk fails, the kernel sends
// SIGBUS to whoever touches what is gone. From this call on, that is a sudden end (tools/sudden_end.h) with kBadModel
// and an error that names `model_path`. The library leaves signals to its host.
void expect_lost_model(const std::string& model_path, const Output& out);

// Engine::open() after that.
Result<std::unique_ptr<Engine>> open_engine(const std::string& model_path, const EngineOptions& options, Output& out);

}  // namespace reform::tool
