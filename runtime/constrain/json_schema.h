// A JSON Schema (draft 2020-12) as a grammar. What it would ignore it refuses by name, so that an answer always fits.
#pragma once

#include <reform/status.h>

#include <memory>
#include <string>

#include "runtime/constrain/grammar.h"

namespace reform {

// kUsage: no JSON, or a keyword that is not known, or a schema that nothing fits; the message says where.
Result<std::shared_ptr<const Grammar>> grammar_of_schema(const std::string& schema);

}  // namespace reform
