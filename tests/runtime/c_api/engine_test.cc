// The C API's engine.
#include <reform/engine.h>
#include <reform/reform.h>

#include <catch2/catch.hpp>
#include <string>

#include "tests/runtime/support/model_support.h"

using namespace reform;
using namespace reform::test;

TEST_CASE("C API: a build without CUDA refuses options for a GPU, as the command does", "[runtime][device]") {
  const std::string path = tiny_path("qwen2");
  const auto open = [&](auto set) {
    reform_engine_options options;
    reform_engine_options_init(&options, sizeof options);
    set(options);
    reform_engine* engine = nullptr;
    const reform_code code = reform_engine_open(path.c_str(), &options, &engine);
    CHECK((engine != nullptr) == (code == REFORM_OK));
    reform_engine_close(engine);
    return code;
  };
  const auto check = [&](const std::string& option, auto set) {
    CAPTURE(option);
    if (cuda_built_in()) {
      CHECK(open(set) == REFORM_OK);
    } else {
      CHECK(open(set) == REFORM_USAGE);
      CHECK(reform_last_error() == option + ": this reform was built without CUDA (docs/CUDA.md)");
    }
  };
  CHECK(open([](reform_engine_options&) {}) == REFORM_OK);
  check("--max-gpu-memory", [](reform_engine_options& o) { o.max_gpu_memory_bytes = 1 << 30; });
  check("--gpu-weights", [](reform_engine_options& o) { o.gpu_weights = "host"; });
  check("--gpu-products", [](reform_engine_options& o) { o.gpu_products = "half"; });
  check("--gpu-attention", [](reform_engine_options& o) { o.gpu_attention = "warps"; });
  check("--cublas-lt", [](reform_engine_options& o) { o.cublas_lt_file = "none.so"; });
}
