#include "runtime/model/fingerprint.h"

#include <fmt/format.h>
#include <xxhash.h>

#include "base/hash.h"
#include "base/small_file.h"
#include "base/try.h"
#include "runtime/model/gguf.h"
#include "runtime/model/judge.h"
#include "runtime/model/soundness.h"

namespace reform {
namespace {

constexpr size_t kFingerprintDigits = 32;

// The keys general.* say who made the file and where it comes from. Only the architecture among them changes how it is
// read.
bool changes_states(std::string_view key) {
  if (key.starts_with("general.")) return key == "general.architecture";
  return !key.starts_with("tokenizer.chat_template") && !key.starts_with("quantize.");
}

Result<std::string> checked_fingerprint(const Gguf& gguf) {
  if (!gguf.is_synthetic()) TRY(judge(gguf, check_finite(gguf)));
  std::string fingerprint = compute_fingerprint(gguf);
  TRY(gguf.check_unchanged());
  return fingerprint;
}

// What the cache keeps: damage to it must not become the fingerprint of a context.
std::string cache_entry(const std::string& identity, const std::string& fingerprint) {
  const std::string lines = identity + "\n" + fingerprint + "\n";
  return fmt::format("{}{:016x}\n", lines, XXH3_64bits(lines.data(), lines.size()));
}

// "": there is no such entry, or it is damaged, or from before entries had a checksum.
std::string kept_fingerprint(const std::string& file, const std::string& identity) {
  const std::string form = cache_entry(identity, std::string(kFingerprintDigits, '0'));
  const auto kept = read_small_file(file, int64_t(form.size()));
  if (!kept.ok() || kept.value().size() != form.size()) return "";
  const std::string fingerprint = kept.value().substr(identity.size() + 1, kFingerprintDigits);
  return kept.value() == cache_entry(identity, fingerprint) ? fingerprint : "";
}

}  // namespace

std::string compute_fingerprint(const Gguf& gguf) {
  RunningHash hasher;
  for (const Gguf::RawEntry& entry : gguf.raw_entries()) {
    if (!changes_states(entry.key)) continue;
    hasher.add_text(entry.key);
    hasher.add_text({reinterpret_cast<const char*>(entry.raw.data()), entry.raw.size()});
  }
  for (const GgufTensor& tensor : gguf.tensors()) {
    hasher.add_text(tensor.name);
    const uint32_t type = geometry(tensor.type).gguf_id;
    hasher.add(&type, sizeof(type));
    hasher.add(tensor.shape.data(), tensor.shape.size() * sizeof(int64_t));
    // A synthetic model's tensor bytes follow from its metadata, which has its name, type and generator version.
    if (gguf.is_synthetic()) continue;
    hasher.add_text({reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size()});
  }
  return hasher.hex();
}

Result<std::string> cached_fingerprint(const Gguf& gguf, const std::string& cache_dir) {
  if (!gguf.identity() || cache_dir.empty()) return checked_fingerprint(gguf);
  const std::string identity = "finite " + gguf.absolute_path() + " " + to_string(*gguf.identity());
  const std::string file =
      fmt::format("{}/fingerprints/{:016x}", cache_dir, XXH3_64bits(identity.data(), identity.size()));
  if (std::string kept = kept_fingerprint(file, identity); !kept.empty()) return kept;
  TRY_ASSIGN(const std::string fingerprint, checked_fingerprint(gguf));
  (void)replace_file(file, cache_entry(identity, fingerprint));
  return fingerprint;
}

}  // namespace reform
