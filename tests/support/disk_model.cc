#include "tests/support/disk_model.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/try.h"
#include "tests/support/files.h"

namespace reform::test {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSectorBytes = 512;  // what a disk writes whole or not at all

struct Change {
  int64_t at = 0;
  std::string bytes;
  bool truncates = false;  // to `at` bytes
};

// How what was not synced fares; the extremes are as likely as what lies between them.
enum class Fate { kNothing, kAll, kInOrder, kEach };
Fate draw_fate(std::mt19937_64& random) { return Fate(random() % 4); }

// So many of n in the order made; for the other fates, all.
size_t draw_count(Fate fate, size_t n, std::mt19937_64& random) {
  if (fate == Fate::kNothing) return 0;
  return fate == Fate::kInOrder ? size_t(random() % (n + 1)) : n;
}

void apply(std::string& bytes, const Change& change, std::string_view written) {
  if (change.truncates) {
    bytes.resize(size_t(change.at), '\0');
    return;
  }
  const size_t end = size_t(change.at) + written.size();
  if (bytes.size() < end) bytes.resize(end, '\0');
  std::copy(written.begin(), written.end(), bytes.begin() + change.at);
}

// The write reached the disk up to some sector's end.
std::string_view torn(const Change& change, std::mt19937_64& random) {
  const int64_t end = change.at + int64_t(change.bytes.size());
  const int64_t first = change.at / kSectorBytes + 1, n_ends = (end - 1) / kSectorBytes - first + 1;
  if (n_ends < 1) return {};  // inside one sector
  const int64_t cut = (first + int64_t(random() % uint64_t(n_ends))) * kSectorBytes;
  return std::string_view(change.bytes).substr(0, size_t(cut - change.at));
}

std::string garbage(size_t n, std::mt19937_64& random) {
  std::string bytes(n, '\0');
  if (random() % 4 == 0) return bytes;  // blocks that were given to the file and never written
  for (char& c : bytes) c = char(random());
  return bytes;
}

std::string surviving_bytes(std::string bytes, const std::vector<Change>& changes, std::mt19937_64& random) {
  const Fate fate = draw_fate(random);
  const size_t n = draw_count(fate, changes.size(), random);
  for (size_t i = 0; i < n; ++i) {
    const Change& change = changes[i];
    switch (fate == Fate::kEach ? random() % 4 : 0) {
      case 0:
        apply(bytes, change, change.bytes);
        break;
      case 1:
        break;
      case 2:
        apply(bytes, change, torn(change, random));
        break;
      default:
        apply(bytes, change, garbage(change.bytes.size(), random));
    }
  }
  if (fate == Fate::kInOrder && n < changes.size()) apply(bytes, changes[n], torn(changes[n], random));
  return bytes;
}

}  // namespace

struct DiskModel::Node {
  bool is_directory = false;
  std::map<std::string, NodePtr> live, on_disk;  // a directory's entries
  std::string synced;                            // a file's bytes
  int64_t live_bytes = 0;
  std::vector<Change> pending;
};

void DiskModel::EntryChange::apply() const {
  if (from.directory) {
    const auto entry = from.directory->on_disk.find(from.name);
    if (entry != from.directory->on_disk.end() && entry->second == node) from.directory->on_disk.erase(entry);
  }
  if (to.directory) to.directory->on_disk[to.name] = node;
}

DiskModel::DiskModel(const std::string& root)
    : root_(fs::path(root).lexically_normal().string()), top_(std::make_shared<Node>()) {
  top_->is_directory = true;
  for (const auto& entry : fs::recursive_directory_iterator(root_)) {
    const Place place = *place_of(entry.path().string());
    auto node = std::make_shared<Node>();
    node->is_directory = entry.is_directory();
    if (!node->is_directory) node->synced = read_file(entry.path().string());
    node->live_bytes = int64_t(node->synced.size());
    place.directory->live[place.name] = place.directory->on_disk[place.name] = node;
  }
}

// The directory must be there. What is found on the way and not known was made by somebody who does not tell us.
std::optional<DiskModel::Place> DiskModel::place_of(const std::string& path) {
  const fs::path relative = fs::path(path).lexically_normal().lexically_relative(root_);
  if (relative.empty() || *relative.begin() == "..") return std::nullopt;
  Place place{top_, {}};
  fs::path at = root_;
  for (const fs::path& part : relative) {
    if (part.empty() || part == ".") continue;
    if (!place.name.empty()) place.directory = child(place.directory, place.name, at.string());
    CHECK(place.directory != nullptr && place.directory->is_directory);
    place.name = part.string();
    at /= part;
  }
  return place;
}

DiskModel::NodePtr DiskModel::child(const NodePtr& directory, const std::string& name, const std::string& path) {
  if (const auto known = directory->live.find(name); known != directory->live.end()) return known->second;
  if (!fs::exists(fs::symlink_status(path))) return nullptr;
  auto node = std::make_shared<Node>();
  node->is_directory = fs::is_directory(fs::symlink_status(path));
  add_entry({directory, name}, node);
  if (!node->is_directory) append(*node, read_file(path));
  return node;
}

void DiskModel::add_entry(const Place& place, NodePtr node) {
  place.directory->live[place.name] = node;
  pending_.push_back({{}, place, std::move(node), true, false});
}

DiskModel::NodePtr DiskModel::open_file(const std::string& path, bool truncated) {
  const auto place = place_of(path);
  if (!place) return nullptr;
  const auto known = place->directory->live.find(place->name);
  if (known == place->directory->live.end()) {
    auto node = std::make_shared<Node>();
    add_entry(*place, node);
    if (!truncated) append(*node, read_file(path));
    return node;
  }
  if (truncated && known->second->live_bytes > 0) truncate(*known->second, 0);
  return known->second;
}

void DiskModel::write(Node& file, int64_t at, std::string_view bytes) {
  file.pending.push_back({at, std::string(bytes), false});
  file.live_bytes = std::max(file.live_bytes, at + int64_t(bytes.size()));
}

void DiskModel::append(Node& file, std::string_view bytes) { write(file, file.live_bytes, bytes); }

void DiskModel::truncate(Node& file, int64_t bytes) {
  file.pending.push_back({bytes, {}, true});
  file.live_bytes = bytes;
}

void DiskModel::make_directory(const std::string& path) {
  if (const auto place = place_of(path)) child(place->directory, place->name, path);
}

void DiskModel::rename(const std::string& from, const std::string& to) {
  const auto source = place_of(from), target = place_of(to);
  if (!source || !target) return;
  const auto known = source->directory->live.find(source->name);
  if (known == source->directory->live.end()) {  // nobody told of it: it is new where it is now
    target->directory->live.erase(target->name);
    child(target->directory, target->name, to);
    return;
  }
  const NodePtr node = known->second;
  source->directory->live.erase(known);
  target->directory->live[target->name] = node;
  pending_.push_back({*source, *target, node, false, false});
}

void DiskModel::remove(const std::string& path) {
  const auto place = place_of(path);
  if (!place) return;
  const auto known = place->directory->live.find(place->name);
  if (known == place->directory->live.end()) return;
  pending_.push_back({*place, {}, known->second, false, true});
  place->directory->live.erase(known);
}

void DiskModel::sync_file(Node& file) {
  for (const Change& change : file.pending) apply(file.synced, change, change.bytes);
  file.pending.clear();
  for (EntryChange& change : pending_) {
    change.to_synced = change.to_synced || (change.node.get() == &file && !change.from.directory);
  }
  settle();
}

void DiskModel::sync_directory(const std::string& path) {
  NodePtr directory = top_;
  if (fs::path(path).lexically_normal() != fs::path(root_)) {
    const auto place = place_of(path);
    if (!place) return;
    directory = child(place->directory, place->name, path);
    if (directory == nullptr) return;
  }
  find_unknown(directory, path, false);
  for (EntryChange& change : pending_) {
    change.from_synced = change.from_synced || change.from.directory == directory;
    change.to_synced = change.to_synced || change.to.directory == directory;
  }
  settle();
}

void DiskModel::find_unknown(const NodePtr& directory, const std::string& path, bool deep) {
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(path, gone)) {
    const NodePtr found = child(directory, entry.path().filename().string(), entry.path().string());
    if (deep && found != nullptr && found->is_directory) find_unknown(found, entry.path().string(), true);
  }
}

// A change between two directories is safe once both are.
void DiskModel::settle() {
  std::erase_if(pending_, [](const EntryChange& change) {
    const bool safe = change.from_synced && change.to_synced;
    if (safe) change.apply();
    return safe;
  });
}

DiskModel::Image DiskModel::lose_power(std::mt19937_64& random) {
  find_unknown(top_, root_, true);
  const Fate fate = draw_fate(random);
  const size_t n = draw_count(fate, pending_.size(), random);
  for (size_t i = 0; i < n; ++i) {
    if (fate != Fate::kEach || random() % 2 == 0) pending_[i].apply();
  }
  Image image;
  const auto walk = [&](const auto& self, const Node& directory, const std::string& prefix) -> void {
    for (const auto& [name, node] : directory.on_disk) {
      const std::string path = prefix + name;
      if (node->is_directory) {
        image[path] = std::nullopt;
        self(self, *node, path + "/");
      } else {
        image[path] = surviving_bytes(node->synced, node->pending, random);
      }
    }
  };
  walk(walk, *top_, "");
  return image;
}

void write_image(const std::string& root, const DiskModel::Image& image) {
  for (const auto& entry : fs::directory_iterator(root)) fs::remove_all(entry.path());
  for (const auto& [path, bytes] : image) {  // a directory sorts before what is in it
    if (bytes) {
      std::ofstream(root + "/" + path, std::ios::binary) << *bytes;
    } else {
      fs::create_directory(root + "/" + path);
    }
  }
}

}  // namespace reform::test
