#include "tools/interrupt.h"

#include <reform/status.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>

namespace reform::tool {
namespace {

// How long a cancelled call may take before the process ends without it. So Ctrl-C works within a second.
constexpr suseconds_t kPatienceUs = 900'000;
// The same once it says that it saves what it has done: what a slow disk takes for a few hundred megabytes.
constexpr time_t kSavingPatienceS = 10;

// A signal handler can reach only globals.
CancelToken g_token;
std::atomic<bool> g_in_scope = false;
std::atomic<const char*> g_error_object = "";
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<const char*>::is_always_lock_free);

void write_all(int fd, const char* text) {
  for (size_t left = std::strlen(text); left > 0;) {
    const ssize_t n = ::write(fd, text, left);
    if (n <= 0) return;
    text += n, left -= size_t(n);
  }
}

[[noreturn]] void end_now(const char* line) {
  write_all(STDERR_FILENO, line);
  write_all(STDOUT_FILENO, g_error_object.load());
  ::_exit(int(Code::kCancelled));
}

void on_signal(int) {
  if (g_in_scope && !g_token.cancelled()) {
    g_token.cancel();
    const itimerval patience{{0, 0}, {0, kPatienceUs}};
    setitimer(ITIMER_REAL, &patience, nullptr);
    return;
  }
  end_now("\nreform: interrupted\n");
}

// The call is in a step that does not look at the token (a long write, say). Ending there is as safe as a power cut:
// the store keeps what was committed.
void on_alarm(int) {
  if (g_in_scope) end_now("\nreform: interrupted; what was saved is kept, and the same command goes on from there\n");
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);
}

}  // namespace

void install_interrupt_handler(const char* error_object) {
  g_error_object = error_object;
  handle(SIGINT, on_signal);
  handle(SIGTERM, on_signal);
  handle(SIGALRM, on_alarm);
  // If the reader goes away, write() fails; the process must not end in the middle of a commit.
  handle(SIGPIPE, SIG_IGN);
}

void CancelScope::allow_saving() const {
  if (!g_token.cancelled()) return;
  const itimerval patience{{0, 0}, {kSavingPatienceS, 0}};
  setitimer(ITIMER_REAL, &patience, nullptr);
}

CancelScope::CancelScope() { g_in_scope = true; }
CancelScope::~CancelScope() { g_in_scope = false; }
const CancelToken& CancelScope::token() const { return g_token; }

}  // namespace reform::tool
