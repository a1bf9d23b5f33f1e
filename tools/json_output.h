// The objects of --json. docs/JSON.md documents each with an example, and a test compares the two. Adding a field keeps
// kJsonSchemaVersion; removing, renaming or changing one raises it.
#pragma once

#include <reform/archive.h>
#include <reform/ask.h>
#include <reform/doctor.h>
#include <reform/generate.h>
#include <reform/heads.h>
#include <reform/ingest.h>
#include <reform/search.h>
#include <reform/store.h>
#include <reform/verify.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/text_files.h"

namespace reform::tool {

using Json = nlohmann::ordered_json;

// {schema_version, verb, …fields}
Json with_header(const std::string& verb, const Json& fields);
// One line. Bytes that are not UTF-8 become U+FFFD, so that the object is always valid JSON.
std::string dump(const Json& object);

Json error_fields(const Status& status);
Json version_fields();
Json contexts_fields(const std::string& store_dir, const std::vector<ContextInfo>& contexts, const StoreUse& use);
Json show_fields(const std::string& store_dir, const ContextInfo& context);
// `what`: removed, pinned, unpinned
Json names_fields(const std::string& store_dir, const char* what, const std::vector<std::string>& names);
Json verify_fields(const std::string& store_dir, const std::vector<VerifiedContext>& contexts);
Json export_fields(const std::string& store_dir, const std::string& file, const ArchiveResult& result);
Json import_fields(const std::string& store_dir, const std::string& file, const ArchiveResult& result);
Json ingest_fields(const IngestResult& result, const std::vector<LeftOut>& left_out);
Json ask_fields(const std::vector<std::string>& contexts, const std::string& question, const AskResult& result,
                bool with_prompt);
// The first `top` sources; 0: all.
Json search_fields(const std::vector<std::string>& contexts, const SearchResult& result, int64_t top);
Json generate_fields(const ModelInfo& model, const GenerateResult& result, bool with_prompt = false);

Json heads_fields(const HeadSearchResult& result, const std::string& out_file);
Json doctor_fields(const DoctorReport& report);

const char* outcome_name(IngestResult::Outcome outcome);  // "ingested", "resumed", …

}  // namespace reform::tool
