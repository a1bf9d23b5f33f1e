#include "tools/interrupt.h"

#include <reform/status.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <atomic>
#include <csignal>

#include "tools/sudden_end.h"

namespace reform::tool {
namespace {

// How long a cancelled call may take before the process ends without it. So Ctrl-C works within a second.
constexpr suseconds_t kPatienceUs = 900'000;
// The same once it says that it saves what it has done: what a slow disk takes for a few hundred megabytes.
constexpr time_t kSavingPatienceS = 10;

// A signal handler can reach only globals.
CancelToken g_token;
std::atomic<bool> g_in_scope = false;
std::atomic<const char*> g_if_late = "";

void on_signal(int) {
  if (g_in_scope && !g_token.cancelled()) {
    g_token.cancel();
    const itimerval patience{{0, 0}, {0, kPatienceUs}};
    setitimer(ITIMER_REAL, &patience, nullptr);
    return;
  }
  end_suddenly(Code::kCancelled, "interrupted");
}

// The call is in a step that does not look at the token (a long write, say). Ending there is as safe as a power cut:
// the store keeps what was committed.
void on_alarm(int) {
  if (!g_in_scope) return;
  end_suddenly(Code::kCancelled, g_if_late.load());
}

// The process has at most a second left, and threads use it up together.
void on_cpu_limit(int) {
  end_suddenly(
      Code::kCancelled,
      "the limit on CPU time (ulimit -t) is reached; what was saved is kept, and the same command goes on from "
      "there");
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);
}

// nohup, and shells that run a command in the background, ignore signals on its behalf.
void handle_unless_ignored(int signal, void (*handler)(int)) {
  struct sigaction now {};
  if (sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN) return;
  handle(signal, handler);
}

// The kernel sends SIGXCPU at the soft limit and kills at the hard one; `ulimit -t` sets both to the same second.
void leave_a_second_for_the_warning() {
  rlimit limit{};
  if (getrlimit(RLIMIT_CPU, &limit) != 0 || limit.rlim_max == RLIM_INFINITY) return;
  if (limit.rlim_cur < limit.rlim_max || limit.rlim_max < 2) return;
  limit.rlim_cur = limit.rlim_max - 1;
  setrlimit(RLIMIT_CPU, &limit);
}

void unblock(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace

void install_signal_handlers() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) handle_unless_ignored(signal, on_signal);
  handle_unless_ignored(SIGXCPU, on_cpu_limit);
  handle(SIGALRM, on_alarm);
  // A write that cannot be done must fail; the process must not end in the middle of a commit.
  for (const int signal : {SIGPIPE, SIGXFSZ}) handle(signal, SIG_IGN);
  unblock({SIGINT, SIGTERM, SIGHUP, SIGXCPU, SIGALRM});
  leave_a_second_for_the_warning();
}

void CancelScope::allow_saving() const {
  if (!g_token.cancelled()) return;
  const itimerval patience{{0, 0}, {kSavingPatienceS, 0}};
  setitimer(ITIMER_REAL, &patience, nullptr);
}

CancelScope::CancelScope(const char* if_late) {
  g_if_late = if_late;
  g_in_scope = true;
}
CancelScope::~CancelScope() { g_in_scope = false; }
const CancelToken& CancelScope::token() const { return g_token; }

}  // namespace reform::tool
