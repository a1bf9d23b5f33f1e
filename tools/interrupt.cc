#include "tools/interrupt.h"

#include <reform/status.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>

namespace reform::tool {
namespace {

// A signal handler can reach nothing but globals.
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

void on_signal(int) {
  if (g_in_scope && !g_token.cancelled()) {
    g_token.cancel();
    return;
  }
  write_all(STDERR_FILENO, "\nreform: interrupted\n");
  write_all(STDOUT_FILENO, g_error_object.load());
  ::_exit(int(Code::kCancelled));
}

}  // namespace

void install_interrupt_handler(const char* error_object) {
  g_error_object = error_object;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // A reader that goes away is an error of write(), not the end of the process in the middle of a commit.
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, nullptr);
}

CancelScope::CancelScope() { g_in_scope = true; }
CancelScope::~CancelScope() { g_in_scope = false; }
const CancelToken& CancelScope::token() const { return g_token; }

}  // namespace reform::tool
