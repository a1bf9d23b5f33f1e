#include "runtime/model/weights/places.h"

#include <fmt/format.h>
#include <reform/units.h>

#include <algorithm>

#include "base/arena.h"
#include "base/memory_room.h"
#include "base/try.h"

namespace reform {
namespace {

// A job has fewer than 64 buffers, and alignment adds less than kAlignment to each.
constexpr int64_t kSlackBytes = 64 * Arena::kAlignment;
constexpr double kHostShare = 0.9;  // of what is free in the machine

int64_t padded(int64_t bytes) { return (bytes + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment; }

// How much memory the machine has for pinned buffers. The account's cap is checked separately.
int64_t machine_room() {
  const int64_t room = std::min(memory_room().bytes, INT64_MAX / 2);
  return int64_t(kHostShare * double(room));
}

}  // namespace

Result<std::unique_ptr<WeightPlaces>> WeightPlaces::create(const Gguf& gguf, const Model& model, Device& device,
                                                           MemoryAccount& host, WeightPlace place) {
  std::unique_ptr<WeightPlaces> w(new WeightPlaces(gguf, model, device, host, place));
  TRY_ASSIGN(w->made_, Reservation::create(host, MemoryCategory::kWeights, gguf.made_bytes()));
  const auto add = [&](WeightBlob blob) { w->units_.emplace_back().blob = std::move(blob); };
  for (int64_t i = 0; i < w->n_layers(); ++i) {
    add(layer_blob(model.layer(i)));
    w->layers_.push_back(model.layer(i));
  }
  add(matrix_blob(model.output()));
  if (!w->tied()) add(matrix_blob(model.token_embedding()));

  const std::span<const float> norm = model.output_norm();
  TRY_ASSIGN(w->output_norm_, Buffer<float>::create(device.account(), MemoryCategory::kWeights, int64_t(norm.size())));
  std::vector<float> values(norm.size());
  TRY(gguf.read(std::as_bytes(norm), reinterpret_cast<std::byte*>(values.data())));
  TRY(device.to_device(w->output_norm_.data(), values.data(), int64_t(norm.size_bytes())));

  const WeightUse all = use_of_all(model.shape());
  const int64_t least = least_weight_bytes(w->demand(all)), room = w->job_room(0);
  if (least > room) {
    return Status{Code::kMemoryCap, fmt::format("its weights need at least {} of {}, and {} are free",
                                                format_bytes(least), device.name(), format_bytes(room))};
  }
  WeightDemand resident = w->demand(all);
  resident.place = WeightPlace::kResident, resident.room_bytes = room;
  const auto layout = lay_out(resident, {});
  if (place <= WeightPlace::kResident && layout && !layout->host_embedding) TRY(w->arrange(all, 0, 0, nullptr));
  return w;
}

WeightPlaces::~WeightPlaces() = default;

int64_t WeightPlaces::part_bytes(const WeightUse& use, int64_t unit) const {
  const WeightBlob& blob = units_[size_t(unit)].blob;
  return use.stop_at_states && unit == use.last_layer ? blob.states_bytes : blob.bytes;
}

WeightDemand WeightPlaces::demand(const WeightUse& use) const {
  WeightDemand d;
  for (const Unit& unit : units_) d.unit_bytes.push_back(unit.blob.bytes);
  d.wanted = spread(use.last_layer + 1);
  for (const int64_t layer : d.wanted) d.slot_bytes = std::max(d.slot_bytes, part_bytes(use, layer));
  if (use.output) {
    d.wanted.push_back(output_unit());
    d.slot_bytes = std::max(d.slot_bytes, row_bytes(model_.output().type, model_.output().cols));
  }
  if (!use.output || !tied()) d.wanted.push_back(embedding_unit());
  d.embedding = embedding_unit();
  d.embedding_is_output = use.output && tied();
  d.slot_bytes = padded(d.slot_bytes);
  d.embedding_scratch_bytes = padded(EmbeddingLookup::block_bytes(model_.token_embedding()));
  d.place = place_;
  return d;
}

int64_t WeightPlaces::least_bytes(const WeightUse& use) const {
  return least_weight_bytes(demand(use)) + norm_bytes() + kSlackBytes + Arena::kAlignment;
}

int64_t WeightPlaces::norm_bytes() const { return padded(int64_t(output_norm_.span().size_bytes())); }

bool WeightPlaces::all_resident() const {
  return std::all_of(units_.begin(), units_.end(), [](const Unit& unit) { return unit.resident.size() > 0; });
}

// The device memory that a job's buffers leave for weights.
int64_t WeightPlaces::job_room(int64_t job_bytes) const {
  const int64_t cap = device_.account().cap_bytes();
  if (cap == 0) return INT64_MAX / 2;
  return cap / Arena::kAlignment * Arena::kAlignment - norm_bytes() - job_bytes - kSlackBytes;
}

Status WeightPlaces::arrange(const WeightUse& use, int64_t job_bytes, int64_t job_host_bytes,
                             const CancelToken* cancel) {
  if (stream_ != nullptr && stream_->read_bytes_per_s() > 0) read_bytes_per_s_ = stream_->read_bytes_per_s();
  stream_.reset();
  lookup_.reset();
  WeightDemand d = demand(use);
  d.room_bytes = job_room(job_bytes);
  const auto layout = lay_out(d, stack_);
  if (!layout) {
    return {Code::kMemoryCap,
            fmt::format("the weights need at least {} of {} beside the {} of the job",
                        format_bytes(least_weight_bytes(d)), device_.name(), format_bytes(job_bytes))};
  }
  TRY(bring(*layout, d, cancel));
  if (layout->host_embedding) {
    const Weight& table = model_.token_embedding();
    const int64_t all_bytes = EmbeddingLookup::kBlocks * EmbeddingLookup::block_bytes(table) + job_host_bytes;
    const bool roomy = host_.cap_bytes() == 0 || host_.current_total_bytes() + all_bytes <= host_.cap_bytes();
    TRY_ASSIGN(lookup_,
               EmbeddingLookup::create(gguf_, table, device_, host_, roomy ? EmbeddingLookup::kBlocks : int64_t{1}));
  }
  const std::vector<int64_t> streamed = layout->streams ? streamed_units(d) : std::vector<int64_t>();
  if (!fits_host(streamed, job_host_bytes)) {
    drop_host([&](int64_t i) { return !std::binary_search(streamed.begin(), streamed.end(), i); });
  }
  report_.place = "resident";
  planned_bytes_ = layout->total_bytes + norm_bytes();
  if (layout->streams) {
    TRY_ASSIGN(const bool from_file, choose_file(streamed, job_host_bytes, cancel));
    TRY(stream(streamed, use, d.slot_bytes, from_file));
  }
  report_on(use, d);
  return {};
}

// Makes the layout's units resident: drops the top of the stack, then copies the added units on top of the rest.
Status WeightPlaces::bring(const WeightLayout& layout, const WeightDemand& demand, const CancelToken* cancel) {
  for (; int64_t(stack_.size()) > layout.n_kept; stack_.pop_back()) units_[size_t(stack_.back())].resident.reset();
  int64_t most_bytes = 0;
  for (const int64_t i : layout.added) most_bytes = std::max(most_bytes, units_[size_t(i)].blob.bytes);
  BlobCopier copier(gguf_, copies_, host_, most_bytes);
  for (const int64_t i : layout.added) {
    if (cancel != nullptr && cancel->cancelled()) return {Code::kCancelled, "cancelled"};
    Unit& unit = units_[size_t(i)];
    TRY_ASSIGN(auto place,
               Buffer<std::byte>::create(device_.account(), MemoryCategory::kWeights, demand.unit_bytes[size_t(i)]));
    if (unit.read) {
      TRY_ASSIGN(const int64_t copy, copies_.start(place.data(), unit.on_host.data(), unit.blob.bytes));
      TRY(copies_.wait_for(copy));
    } else {
      TRY(copier.copy(unit.blob, place.data()));
    }
    unit.resident = std::move(place);
    stack_.push_back(i);
    if (i < n_layers()) layers_[size_t(i)] = layer_at(model_.layer(i), unit.resident.data());
  }
  return {};
}

std::vector<int64_t> WeightPlaces::streamed_units(const WeightDemand& demand) const {
  std::vector<int64_t> units;
  for (const int64_t i : demand.wanted) {
    const bool looked_up = demand.embedding == i && !demand.embedding_is_output;
    if (units_[size_t(i)].resident.size() == 0 && !looked_up) units.push_back(i);
  }
  std::sort(units.begin(), units.end());
  return units;
}

bool WeightPlaces::fits_host(const std::vector<int64_t>& units, int64_t job_host_bytes) const {
  int64_t most_bytes = 0;
  for (const Unit& unit : units_) most_bytes = std::max(most_bytes, unit.blob.bytes);
  // When the next job's weights are arranged, this job's buffers are gone, but a BlobCopier may need its own.
  int64_t more_bytes = std::max(job_host_bytes, BlobCopier::host_bytes(most_bytes));
  for (const int64_t i : units) more_bytes += units_[size_t(i)].blob.bytes - units_[size_t(i)].on_host.size();
  if (more_bytes > machine_room()) return false;
  return host_.cap_bytes() == 0 || host_.current_total_bytes() + more_bytes <= host_.cap_bytes();
}

void WeightPlaces::drop_host(const std::function<bool(int64_t unit)>& unwanted) {
  for (size_t i = 0; i < units_.size(); ++i) {
    if (!unwanted(int64_t(i))) continue;
    units_[i].on_host.reset();
    units_[i].read = false;
  }
}

Status WeightPlaces::fill_host(const std::vector<int64_t>& units, const CancelToken* cancel) {
  for (const int64_t i : units) {
    if (cancel != nullptr && cancel->cancelled()) return {Code::kCancelled, "cancelled"};
    Unit& unit = units_[size_t(i)];
    if (unit.read) continue;
    if (unit.on_host.size() == 0) {
      TRY_ASSIGN(unit.on_host, PinnedBuffer::create(copies_, host_, MemoryCategory::kWeights, unit.blob.bytes));
    }
    TRY(unit.blob.read(gguf_, 0, unit.blob.bytes, unit.on_host.data()));
    unit.read = true;
  }
  return {};
}

// Returns whether `units` are streamed from the file. If not, they are in host memory now.
Result<bool> WeightPlaces::choose_file(const std::vector<int64_t>& units, int64_t job_host_bytes,
                                       const CancelToken* cancel) {
  bool from_file = place_ == WeightPlace::kFile || (place_ == WeightPlace::kAuto && !fits_host(units, job_host_bytes));
  if (!from_file) {
    const Status filled = fill_host(units, cancel);
    from_file = filled.code == Code::kMemoryCap && place_ == WeightPlace::kAuto;  // the system would not pin so much
    if (!filled.ok() && !from_file) return filled;
  }
  if (from_file) drop_host([](int64_t) { return true; });
  return from_file;
}

Status WeightPlaces::stream(const std::vector<int64_t>& units, const WeightUse& use, int64_t slot_bytes,
                            bool from_file) {
  std::vector<WeightPart> parts;
  std::vector<const std::byte*> from;
  for (const int64_t i : units) {
    Unit& unit = units_[size_t(i)];
    const int64_t row = row_bytes(model_.output().type, model_.output().cols);
    const bool is_output = i == output_unit();
    const int64_t end = is_output ? model_.output().rows * row : part_bytes(use, i);
    const int64_t step = is_output ? slot_bytes / row * row : end;
    unit.first_part = int64_t(parts.size());
    for (int64_t begin = 0; begin < end; begin += step) {
      parts.push_back({&unit.blob, begin, std::min(begin + step, end)});
      if (!from_file) from.push_back(unit.on_host.data() + begin);
    }
    unit.n_parts = int64_t(parts.size()) - unit.first_part;
  }
  TRY_ASSIGN(stream_, WeightStream::create(gguf_, device_, host_, std::move(parts), std::move(from), slot_bytes));
  report_.place = from_file ? "file" : "host";
  return {};
}

void WeightPlaces::report_on(const WeightUse& use, const WeightDemand& demand) {
  double resident_bytes = 0, streamed_bytes = 0;
  report_.resident_layers = report_.streamed_layers = 0;
  for (const int64_t i : demand.wanted) {
    if (demand.embedding == i && !demand.embedding_is_output) continue;
    const bool resident = units_[size_t(i)].resident.size() > 0;
    (resident ? resident_bytes : streamed_bytes) += double(part_bytes(use, i));
    if (i < n_layers()) ++(resident ? report_.resident_layers : report_.streamed_layers);
  }
  const double device_rate = copies_.device_bytes_per_s();
  double copy_rate = copies_.copy_bytes_per_s();
  if (stream_ != nullptr && report_.place == "file" && read_bytes_per_s_ > 0) {
    copy_rate = std::min(copy_rate, read_bytes_per_s_);
  }
  const bool known = device_rate > 0 && copy_rate > 0;
  const double seconds = known ? resident_bytes / device_rate + streamed_bytes / copy_rate : 0;
  report_.planned_tokens_per_second = use.output && seconds > 0 ? 1 / seconds : 0;
}

Result<const LayerWeights*> WeightPlaces::layer(int64_t i, const CancelToken* cancel) {
  const Unit& unit = units_[size_t(i)];
  LayerWeights& place = layers_[size_t(i)];
  if (unit.resident.size() == 0) {
    CHECK((stream_ != nullptr && unit.n_parts == 1));
    TRY_ASSIGN(const std::byte* const at, stream_->get(unit.first_part, cancel));
    place = layer_at(model_.layer(i), at);
  }
  return &place;
}

Status WeightPlaces::embed(Ops& ops, std::span<const int32_t> ids, MatView<float> out) {
  const Weight& table = model_.token_embedding();
  const float scale = model_.shape().embedding_scale;
  const Unit& unit = units_[size_t(embedding_unit())];
  if (unit.resident.size() > 0) {
    ops.embed({table.type, table.rows, table.cols, unit.resident.data()}, ids, scale, out);
    return {};
  }
  return lookup_->embed(ops, ids, scale, out);
}

Status WeightPlaces::look_up(std::span<const int32_t> ids) {
  return lookup_ == nullptr ? ok_status() : lookup_->look_up(ids);
}

int64_t WeightPlaces::n_output_blocks() const {
  const Unit& unit = units_[size_t(output_unit())];
  return unit.resident.size() > 0 ? 1 : unit.n_parts;
}

Result<Weight> WeightPlaces::output_block(int64_t i, int64_t* first_row, const CancelToken* cancel) {
  const Unit& unit = units_[size_t(output_unit())];
  Weight block = model_.output();
  *first_row = 0;
  if (unit.resident.size() > 0) {
    block.data = unit.resident.data();
    return block;
  }
  CHECK((stream_ != nullptr && i < unit.n_parts));
  const WeightPart& part = stream_->part(unit.first_part + i);
  const int64_t row = row_bytes(block.type, block.cols);
  *first_row = part.begin / row;
  block.rows = (part.end - part.begin) / row;
  TRY_ASSIGN(block.data, stream_->get(unit.first_part + i, cancel));
  return block;
}

Status WeightPlaces::multiply_output(Ops& ops, MatView<const float> normed, MatView<float> logits,
                                     const CancelToken* cancel) {
  for (int64_t i = 0; i < n_output_blocks(); ++i) {
    int64_t first_row = 0;
    TRY_ASSIGN(const Weight block, output_block(i, &first_row, cancel));
    ops.matmul(block, normed, {}, false, logits.col_range(first_row, first_row + block.rows));
  }
  return {};
}

std::span<const float> WeightPlaces::output_norm() const { return output_norm_.span(); }

}  // namespace reform
