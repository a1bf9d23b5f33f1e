#include "storage/context/manifest.h"

#include "base/try.h"
#include "storage/format/bytes.h"
#include "storage/format/schema.h"

namespace reform {
namespace {

Status bad_record() { return {Code::kCorrupt, "holds impossible values"}; }

Status read_checkpoints(ByteReader& in, ContextState& state) {
  const int64_t n = in.count();
  for (int64_t i = 0; i < n && in.ok(); ++i) {
    const CheckpointRef ref{in.count(), in.varint(), in.count()};
    const bool ordered = state.checkpoints.empty() || ref.n_tokens > state.checkpoints.back().n_tokens;
    if (!ordered || ref.n_tokens > state.blocks.n_tokens() || ref.generation >= state.next_generation) {
      return bad_record();
    }
    state.checkpoints.push_back(ref);
  }
  return {};
}

}  // namespace

void encode_runs(ByteWriter& out, const BlockMap& blocks) {
  const auto runs = blocks.runs();
  out.varint(runs.size());
  for (const ChunkRun& run : runs) out.varint(uint64_t(run.chunk_tokens)), out.varint(uint64_t(run.n_chunks));
}

Status decode_runs(ByteReader& in, uint64_t max_runs, BlockMap& blocks) {
  const uint64_t n_runs = in.varint();
  if (n_runs > max_runs) return bad_record();
  for (uint64_t i = 0; i < n_runs && in.ok(); ++i) {
    const int64_t chunk_tokens = in.count(), n_chunks = in.count();
    // Each factor is bounded first and then their product, so nothing overflows.
    const int64_t room = schema::kMaxTokens - blocks.n_tokens();
    if (chunk_tokens < 1 || n_chunks < 1 || chunk_tokens > room || n_chunks > room / chunk_tokens) return bad_record();
    blocks.append_chunks(chunk_tokens, n_chunks);
  }
  return {};
}

std::string encode_identity(const Identity& identity) {
  std::string payload;
  ByteWriter out(payload);
  out.text(identity.id);
  out.text(identity.name);
  out.fixed(identity.created_unix_s);
  out.fixed(identity.row_bytes);
  out.fixed(identity.block_tokens);
  out.text(identity.settings);
  return payload;
}

Result<Identity> decode_identity(std::span<const std::byte> payload) {
  ByteReader in(payload);
  Identity identity;
  identity.id = in.text();
  identity.name = in.text();
  identity.created_unix_s = in.fixed<int64_t>();
  identity.row_bytes = in.fixed<int32_t>();
  identity.block_tokens = in.fixed<int32_t>();
  identity.settings = in.text();
  if (!in.at_end() || identity.row_bytes < 1 || identity.row_bytes > schema::kMaxRowBytes ||
      identity.block_tokens < 1 || identity.block_tokens > block_tokens_for(identity.row_bytes)) {
    return bad_record();
  }
  return identity;
}

std::string encode_state(const ContextState& state) {
  std::string payload;
  ByteWriter out(payload);
  out.fixed(state.sequence);
  out.fixed(state.n_bytes);
  out.fixed(uint8_t(state.complete));
  out.fixed(state.next_generation);
  encode_runs(out, state.blocks);
  out.varint(state.checkpoints.size());
  for (const CheckpointRef& ref : state.checkpoints) {
    out.varint(uint64_t(ref.n_tokens)), out.varint(ref.generation), out.varint(uint64_t(ref.bytes));
  }
  const uint64_t n_pieces = n_sources_pieces(state);
  out.text(std::string_view(state.sources).substr(n_pieces * schema::kSourcesPieceBytes));
  out.text(state.progress);
  if (n_pieces > 0) out.varint(n_pieces);
  return payload;
}

Result<ContextState> decode_state(std::span<const std::byte> payload, int32_t block_tokens, uint64_t& n_pieces) {
  ByteReader in(payload);
  ContextState state;
  state.sequence = in.fixed<uint64_t>();
  state.n_bytes = in.fixed<int64_t>();
  const auto complete = in.fixed<uint8_t>();
  state.complete = complete == 1;
  state.next_generation = in.fixed<uint64_t>();
  if (complete > 1 || state.n_bytes < 0 || state.next_generation > schema::kMaxGeneration) return bad_record();
  state.blocks = BlockMap(block_tokens);
  TRY(decode_runs(in, UINT64_MAX, state.blocks));
  TRY(read_checkpoints(in, state));
  state.sources = in.text();
  state.progress = in.text();
  n_pieces = in.at_end() ? 0 : in.varint();
  if (!in.at_end()) return bad_record();
  return state;
}

ContextMeta meta_of(const Identity& identity, const ContextState& state) {
  ContextMeta meta;
  meta.id = identity.id;
  meta.name = identity.name;
  meta.created_unix_s = identity.created_unix_s;
  meta.n_tokens = state.blocks.n_tokens();
  meta.complete = state.complete;
  meta.row_bytes = identity.row_bytes;
  meta.extra_kinds = identity.extra_kinds;
  meta.settings = identity.settings;
  meta.sources = state.sources;
  meta.progress = state.progress;
  return meta;
}

}  // namespace reform
