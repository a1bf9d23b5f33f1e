// What a disk holds once its power has gone: what was synced, and of everything since, whatever the disk pleased.
//
// A model of a directory tree that is told of each change after it was made. Until the file is synced, each write to it
// may later turn out whole, cut at a sector, garbage, or not made; until its directory is synced, each entry made,
// renamed or removed may turn out so or not, each for itself (a rename is one: never both names, never none). Only a
// new file's first name is safe with its bytes, as on ext4, XFS and btrfs: RocksDB, opening after a crash, counts on
// it. All else is less than these promise, which keep the order of such changes.
//
// Thread-safety: none.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace reform::test {

class DiskModel {
 public:
  struct Node;
  using NodePtr = std::shared_ptr<Node>;
  // By path below the root; a directory has no bytes.
  using Image = std::map<std::string, std::optional<std::string>>;

  // What is below `root`, an existing directory, counts as synced.
  explicit DiskModel(const std::string& root);

  // What has just been done to the real tree. Paths are absolute; directories or files on the way that nobody has told
  // of are taken for just made. Null, and nothing done, outside the root.
  NodePtr open_file(const std::string& path, bool truncated);
  void write(Node& file, int64_t at, std::string_view bytes);
  void append(Node& file, std::string_view bytes);
  void truncate(Node& file, int64_t bytes);
  void make_directory(const std::string& path);
  void rename(const std::string& from, const std::string& to);
  void remove(const std::string& path);
  void sync_file(Node& file);
  void sync_directory(const std::string& path);  // finds what was made in it without a word, too

  // Draws what is left. The model is done with then.
  Image lose_power(std::mt19937_64& random);

 private:
  struct Place {  // where an entry is or would be
    NodePtr directory;
    std::string name;
  };
  // An entry that came (to), went (from), or moved (both).
  struct EntryChange {
    Place from, to;
    NodePtr node;
    bool from_synced, to_synced;
    void apply() const;
  };
  std::optional<Place> place_of(const std::string& path);
  NodePtr child(const NodePtr& directory, const std::string& name, const std::string& path);
  void add_entry(const Place& place, NodePtr node);
  void find_unknown(const NodePtr& directory, const std::string& path, bool deep);
  void settle();

  std::string root_;
  NodePtr top_;
  std::vector<EntryChange> pending_;  // in the order made
};

// Makes the tree below `root` what `image` says.
void write_image(const std::string& root, const DiskModel::Image& image);

}  // namespace reform::test
