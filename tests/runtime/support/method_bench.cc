#include "tests/runtime/support/method_bench.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>

#include "kernels/counting_site.h"
#include "runtime/engine/memory_plan.h"
#include "tests/support/files.h"

namespace reform::test {

Golden read_golden(const std::string& name) {
  std::ifstream in(golden_path(name), std::ios::binary);
  Golden g;
  std::string line;
  std::getline(in, line);
  g.head = nlohmann::json::parse(line);
  for (const auto& entry : g.head["arrays"]) {
    size_t n = 1;
    for (const auto& dim : entry[1]) n *= dim.get<size_t>();
    const std::string array = entry[0];
    if (entry[2] == "<f4") {
      g.floats[array].resize(n);
      in.read(reinterpret_cast<char*>(g.floats[array].data()), std::streamsize(n * 4));
    } else {
      g.ints[array].resize(n);
      in.read(reinterpret_cast<char*>(g.ints[array].data()), std::streamsize(n * 4));
    }
  }
  REQUIRE(in.good());
  return g;
}

MethodBench::MethodBench(const Golden& golden, const std::string& policy, Isa isa)
    : MethodBench(golden, policy, isa == Isa::kRef ? KvView::Type::kF32 : KvView::Type::kF16,
                  [isa](MethodBench& b) { return make_cpu_device(isa, b.pool, b.account); }) {}

MethodBench::MethodBench(const Golden& golden, const std::string& policy, KvView::Type kv_type,
                         const std::function<std::unique_ptr<Device>(MethodBench&)>& make_device) {
  device = make_device(*this);
  gguf = std::move(Gguf::open(golden_path("tiny_qwen2.gguf"))).value();
  model = std::move(Model::create(*gguf)).value();
  for (const auto& h : golden.head["heads"]) heads.push_back(parse_head(h.get<std::string>()).value());
  options = {.policy = find_policy(policy),
             .chunk_tokens = golden.head["chunk"],
             .cache_tokens = golden.head["cache"],
             .sink_tokens = golden.head["sinks"],
             .overlap_tokens = golden.head["overlap"],
             .kv_type = kv_type,
             .saves = true};
  REQUIRE(model->move_to(*device, account, WeightPlace::kAuto).ok());
  const OpLimits limits = Compressor::limits(model->shape(), *device, ingest_sizes(options));
  workspace = std::move(Buffer<std::byte>::create(device->account(), MemoryCategory::kWorkspace,
                                                  device->workspace_bytes(limits)))
                  .value();
  ops = device->make_ops(limits, workspace.span());
}

std::unique_ptr<Compressor> MethodBench::compressor() {
  CountingSite counted(*device);  // as the engine does: making it must not touch memory
  REQUIRE(Compressor::create(*model, counted.site(), heads, options, ingest_sizes(options)).ok());
  return std::move(Compressor::create(*model, site(), heads, options, ingest_sizes(options))).value();
}

std::vector<std::byte> MethodBench::ingest(Compressor& c, const std::vector<int32_t>& text, size_t begin,
                                           size_t end) const {
  const std::span<const int32_t> all(text);
  const size_t chunk = size_t(options.chunk_tokens);
  std::vector<std::byte> rows;
  for (; begin < end; begin += chunk) {
    auto out = c.run_chunk(all.first(begin), all.subspan(begin, std::min(chunk, end - begin)), {}, nullptr);
    REQUIRE(out.ok());
    REQUIRE(c.wait_for(out.value()).ok());
    rows.insert(rows.end(), out.value().bytes.begin(), out.value().bytes.end());
  }
  if (!options.policy->carries() && end == text.size()) REQUIRE(c.run_tail(text, nullptr).ok());
  return rows;
}

SavedParts saved_parts(Compressor& c) {
  const auto parts = c.parts();
  REQUIRE(parts.ok());
  SavedParts all;
  for (const NamedBytes& p : parts.value()) all.push_back({p.name, {p.bytes.begin(), p.bytes.end()}});
  return all;
}

void load_parts(Compressor& c, const SavedParts& parts) {
  CacheLoader loader = c.loader();
  for (const auto& [name, bytes] : parts) REQUIRE(loader.load_part(name, bytes).ok());
  REQUIRE(loader.finish(/*may_be_empty=*/true).ok());
}

}  // namespace reform::test
