// Contexts of what has no room in a prompt: made when they are needed, found again when the same text comes again, with
// more behind it or not, and removed when they take too much of the disk.
//
// Each of their files is a piece of a conversation, named "messages[3] (user)#HASH"; the hash is of the model and of
// all pieces up to this one. So the store itself says which conversations a context knows. Its caller must let one
// prompt at a time make and ask such a context, or it might change in between.
#pragma once

#include <reform/cancel.h>
#include <reform/engine.h>
#include <reform/ingest.h>
#include <reform/status.h>
#include <reform/store.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tools/serve/conversation.h"

namespace reform::tool {

// Whether a context's name is one that only such a context has.
bool is_implicit_name(const std::string& name);
// Leaves out such contexts: their names are nobody's to know.
void hide_implicit(std::vector<Eviction>& evicted);
// The names of the files that the pieces become.
std::vector<std::string> file_names(const std::vector<Piece>& pieces, const std::string& model_fingerprint);

struct KnownContext {
  std::string name;     // of the context that knows the most of the pieces, and nothing else; "": there is none
  size_t n_pieces = 0;  // the first ones, which it knows
};
KnownContext find_known(const std::vector<ContextInfo>& contexts, const std::vector<std::string>& files);

// Reads what `known` lacks of the pieces. `files`: their file_names().
struct ReadyContext {
  std::string name;  // of the context that holds all pieces
  int64_t n_read_tokens = 0;
};
Result<ReadyContext> make_ready(Engine& engine, Store& store, const KnownContext& known,
                                const std::vector<Piece>& pieces, const std::vector<std::string>& files,
                                const IngestProgressCallback& progress, const CancelToken& cancel);

// Those of the contexts to remove so that all such ones take at most so many bytes: the least recently asked, but not
// `kept`.
std::vector<std::string> to_remove(const std::vector<ContextInfo>& contexts, int64_t max_bytes,
                                   const std::string& kept);

}  // namespace reform::tool
