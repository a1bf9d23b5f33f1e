// One number that is not finite, in any tensor of any type, is found and named.
#include "runtime/model/soundness.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "runtime/model/fingerprint.h"
#include "runtime/model/gguf.h"
#include "runtime/model/model.h"
#include "runtime/model/synthetic/weight_pattern.h"
#include "tests/runtime/support/model_support.h"
#include "tests/support/gguf_writer.h"

using namespace reform;
using namespace reform::test;

namespace {

// A tiny model's bytes, aligned, in which a tensor can be spoilt.
class Spoilt {
 public:
  Spoilt(const std::string& model, const std::string& tensor, int64_t at_byte, std::vector<uint8_t> bytes)
      : image_(read_file(tiny_path(model))) {
    std::span<const std::byte> all = image_;
    auto gguf = take(Gguf::parse(all, "spoilt.gguf"));
    const auto offset = gguf->find_tensor(tensor)->data.data() - all.data();
    std::memcpy(const_cast<std::byte*>(all.data()) + offset + at_byte, bytes.data(), bytes.size());
    gguf_ = take(Gguf::parse(all, "spoilt.gguf"));
  }
  const Gguf& gguf() const { return *gguf_; }

 private:
  GgufWriter::Image image_;
  std::unique_ptr<Gguf> gguf_;
};

const std::vector<uint8_t> kNan = {0, 0, 0xc0, 0x7f}, kInfinity = {0, 0, 0x80, 0xff};

}  // namespace

TEST_CASE("soundness: a block's scale that is not finite is found in every type", "[soundness]") {
  for (int t = 0; t < int(QuantType::kCount); ++t) {
    const auto type = QuantType(t);
    const QuantGeometry& g = geometry(type);
    const ScalePlaces places = scale_places(type);
    constexpr int64_t kBlocks = 9001;  // more than the runs that are looked at together, and not a multiple
    std::vector<std::byte> data(size_t(kBlocks * g.block_bytes), std::byte{0x11});
    const auto status_with = [&](int64_t block, int at, uint32_t bits) {
      std::vector<std::byte> spoilt = data;
      std::memcpy(spoilt.data() + block * g.block_bytes + at, &bits, g.block_bytes == 4 ? 4 : 2);
      GgufWriter writer;
      writer.add_tensor("w", type, {g.block_elems, kBlocks}, spoilt);
      const GgufWriter::Image image = writer.image();
      const auto gguf = take(Gguf::parse(image, "m.gguf"));
      return check_finite(*gguf);
    };
    INFO(g.name);
    CHECK(status_with(5, places.scale_at, 0x1111).ok());
    for (const int64_t block : {int64_t{0}, int64_t{4096}, kBlocks - 1}) {
      for (const int at : {places.scale_at, places.min_at}) {
        if (at < 0) continue;
        for (const uint32_t more : {0u, 1u}) {  // infinity, NaN
          const Status status = status_with(block, at, places.exponent | more);
          CHECK(status.code == Code::kBadModel);
          CHECK(status.message.find("m.gguf: tensor w: ") == 0);
          CHECK(status.message.find(" " + std::to_string(block * g.block_elems) + " ") != std::string::npos);
        }
      }
    }
  }
}

TEST_CASE("soundness: a model with a norm or bias that is not finite is not opened", "[soundness]") {
  for (const char* tensor : {"blk.1.attn_norm.weight", "output_norm.weight", "blk.0.attn_q.bias"}) {
    for (const auto& bits : {kNan, kInfinity}) {
      const Spoilt model("qwen2", tensor, 8, bits);
      const Status status = Model::create(model.gguf()).status();
      INFO(status.message);
      CHECK(status.code == Code::kBadModel);
      CHECK(status.message.find(std::string("spoilt.gguf: tensor ") + tensor + ": element 2 ") == 0);
    }
  }
}

TEST_CASE("soundness: a matrix that is not finite gives no fingerprint", "[soundness]") {
  const auto sound = take(Gguf::open(tiny_path("qwen2")));
  CHECK(cached_fingerprint(*sound, "").ok());
  const Spoilt model("qwen2", "token_embd.weight", 0, {0xff, 0xff, 0xff, 0xff});
  const Status status = cached_fingerprint(model.gguf(), "").status();
  INFO(status.message);
  CHECK(status.code == Code::kBadModel);
  CHECK(status.message.find("tensor token_embd.weight") != std::string::npos);
}

TEST_CASE("soundness: logits must be finite and not all alike", "[soundness]") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  CHECK(check_logits(std::vector<float>{0, 0, 1e-30f}).ok());
  CHECK(check_logits(std::vector<float>{0}).ok());
  for (const std::vector<float>& logits : std::vector<std::vector<float>>{
           {0, 0, 0}, {3, 3}, {1, nan, 2}, {nan, nan}, {1, 2, infinity}, {-infinity, 0}, {nan, 1, 2}}) {
    CHECK(check_logits(logits).code == Code::kBadModel);
  }
}
