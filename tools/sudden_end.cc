#include "tools/sudden_end.h"

#include <poll.h>
#include <reform/exception_status.h>
#include <reform/version.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <utility>

namespace reform::tool {
namespace {

// What --json owes to standard output.
enum class JsonDue : int { kNothing, kObject, kRestOfLine };

std::atomic<JsonDue> g_json = JsonDue::kNothing;
std::atomic<int> g_told = 0;          // the exit code of an error that was told
std::atomic<pthread_t> g_ender = {};  // the thread that ends the process
std::terminate_handler g_terminate_otherwise = nullptr;
LastWords g_mapping_lost;
static_assert(std::atomic<JsonDue>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

constexpr size_t kThreadBytes = size_t{64} << 20;  // mimalloc asks for so much address space when a thread starts
constexpr int kOtherThreadMs = 1000;               // for the thread that ends the process to say why

// Waits for the end if another thread brings it.
void wait_for_end(Code otherwise) {
  if (g_ender == pthread_t{} || g_ender == ::pthread_self()) return;
  ::poll(nullptr, 0, kOtherThreadMs);
  ::_exit(g_told != 0 ? g_told.load() : int(otherwise));
}

void become_ender(Code otherwise) {
  pthread_t nobody = {};
  if (!g_ender.compare_exchange_strong(nobody, ::pthread_self())) wait_for_end(otherwise);
}

constexpr std::string_view kOutOfMemory =
    "out of memory: the system, or a limit (ulimit -v, a control group), has no more for this process; "
    "what was saved is kept, and the same command goes on from there";

// Of at most LastWords::kMostBytes. Where that would have to wait, nothing is written.
void write_at_once(int fd, std::string_view bytes) {
  pollfd ready{fd, POLLOUT, 0};
  if (::poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) return;
  while (::write(fd, bytes.data(), bytes.size()) < 0 && errno == EINTR) {
  }
}

[[noreturn]] void end_with(Code code, std::string_view line, std::string_view object) {
  become_ender(code);
  if (g_told == 0) write_at_once(STDERR_FILENO, line);
  if (g_told == 0) g_told = int(code);
  JsonDue due = JsonDue::kObject;
  if (g_json.compare_exchange_strong(due, JsonDue::kRestOfLine)) write_at_once(STDOUT_FILENO, object);
  ::_exit(g_told);
}

// Puts a line together without allocating.
class Line {
 public:
  Line& add(std::string_view piece) {
    const size_t n = std::min(piece.size(), bytes_.size() - 1 - size_);
    std::memcpy(bytes_.data() + size_, piece.data(), n);
    size_ += n;
    return *this;
  }
  Line& add(int number) {
    char digits[12];
    size_t at = sizeof digits;
    do {
      digits[--at] = char('0' + number % 10);
    } while ((number /= 10) > 0);
    return add({digits + at, sizeof digits - at});
  }
  std::string_view ended() {
    bytes_[size_++] = '\n';
    return {bytes_.data(), size_};
  }

 private:
  std::array<char, 1024> bytes_;
  static_assert(sizeof(bytes_) <= LastWords::kMostBytes);
  size_t size_ = 0;
};

// Libraries in C abort where there is no memory: glibc does when a thread that starts finds none.
void on_abort(int) {
  if (!has_memory(kThreadBytes)) end_out_of_memory();
  ::signal(SIGABRT, SIG_DFL);  // abort() goes on to raise it
}

void on_bus_error(int, siginfo_t* info, void*) {
  if (info->si_code == BUS_ADRERR) end_with(g_mapping_lost.code, g_mapping_lost.line, g_mapping_lost.object);
  // An alignment or memory fault, which no file explains: the instruction runs again, and the process ends by it.
  ::signal(SIGBUS, SIG_DFL);
}

void on_terminate() {
  if (std::current_exception()) {
    const Status status = exception_status();
    if (status.code != Code::kInternal) end_suddenly(status.code, status.message);
  }
  // RocksDB's timer joins a thread at the end of the process, also where that could not be started, as was told then.
  if (g_told != 0) ::_exit(g_told);
  g_terminate_otherwise();  // a bug: aborts
}

}  // namespace

void end_suddenly(Code code, std::string_view message) {
  Line line, object;
  line.add("reform: error: ").add(message);
  object.add(R"({"schema_version":)").add(kJsonSchemaVersion);
  object.add(R"(,"verb":"","error":{"code":)").add(int(code));
  object.add(R"(,"name":")").add(code_name(code)).add(R"(","message":")").add(message).add("\"}}");
  end_with(code, line.ended(), object.ended());
}

void expect_json() { g_json = JsonDue::kObject; }
void begin_json_line() {
  wait_for_end(Code::kInternal);
  g_json = JsonDue::kRestOfLine;
}
void end_json_line(bool more_lines) { g_json = more_lines ? JsonDue::kObject : JsonDue::kNothing; }
void begin_last_words() { become_ender(Code::kInternal); }
void note_error_told(Code code) { g_told = int(code); }

void end_out_of_memory() { end_suddenly(Code::kMemoryCap, kOutOfMemory); }

void end_when_nothing_is_left() {
  g_terminate_otherwise = std::set_terminate(on_terminate);
  ::signal(SIGABRT, on_abort);
}

void end_when_mapping_is_lost(LastWords words) {
  g_mapping_lost = std::move(words);
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace reform::tool
