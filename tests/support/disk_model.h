// DiskModel: what a disk may hold after a loss of power. All that was synced is there; of every later change, the model
// draws whether and how it reached the disk.
//
// It models a directory tree and is told of each change after the change was made. Until the file is synced, each write
// to it may be whole, cut at a sector, garbage, or missing. Until the directory is synced, each entry that was made,
// renamed or removed may be so or not, independently of the others (a rename is one change: never both names, never
// none). The exception: a file's sync also keeps its first name, as on ext4, XFS and btrfs; RocksDB needs that to open
// after a crash. In all else the model promises less than these file systems, which keep the order of such changes.
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

  // These report what has just been done to the real tree. Paths are absolute. Directories or files on the way that
  // were never reported count as just made. Outside the root they do nothing, and open_file() returns null.
  NodePtr open_file(const std::string& path, bool truncated);
  void write(Node& file, int64_t at, std::string_view bytes);
  void append(Node& file, std::string_view bytes);
  void truncate(Node& file, int64_t bytes);
  void make_directory(const std::string& path);
  void rename(const std::string& from, const std::string& to);
  void remove(const std::string& path);
  void sync_file(Node& file);
  void sync_directory(const std::string& path);  // also finds entries whose making was not reported

  // Draws what is left on the disk. The model cannot be used after that.
  Image lose_power(std::mt19937_64& random);

 private:
  struct Place {  // where an entry is, or would be
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

// Makes the tree below `root` equal to `image`.
void write_image(const std::string& root, const DiskModel::Image& image);

}  // namespace reform::test
