// catalogue.json: what is known of each context without opening its database. It is only a cache. An entry counts while
// its stamp is that of the context's directory, and a missing or damaged file is an empty catalogue.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <map>
#include <string>

#include "storage/context/context.h"
#include "storage/disk/disk.h"

namespace reform {

struct CatalogueEntry {
  uint64_t stamp = 0;  // DirectorySize::stamp of the context's directory when this was read; 0: only the name counts
  ContextMeta meta;
  int64_t checkpoint_bytes = 0;
};

using Catalogue = std::map<std::string, CatalogueEntry>;  // by id

Catalogue load_catalogue(const Disk& disk, const std::string& store_dir);
Status save_catalogue(const Disk& disk, const std::string& store_dir, const Catalogue& catalogue);

}  // namespace reform
