#include "tools/open_engine.h"

#include <unistd.h>

#include <csignal>
#include <tuple>

#include "tools/descriptors.h"
#include "tools/output.h"

namespace reform::tool {
namespace {

// What the handler writes. It can reach only globals.
std::string g_error_line, g_error_object;

void on_bus_error(int, siginfo_t* info, void*) {
  if (info->si_code != BUS_ADRERR) {  // an alignment or memory fault, which no file explains
    ::signal(SIGBUS, SIG_DFL);        // the instruction runs again, and the process ends by it
    return;
  }
  (void)write_fully(STDERR_FILENO, g_error_line);
  (void)write_fully(STDOUT_FILENO, g_error_object);
  ::_exit(int(Code::kBadModel));
}

}  // namespace

void expect_lost_model(const std::string& model_path, const Output& out) {
  const Status lost{Code::kBadModel, model_path +
                                         ": was cut short while it was in use, or its disk cannot be read; run this "
                                         "again with the whole file, once nobody writes to it"};
  std::tie(g_error_line, g_error_object) = out.as_written(lost);
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
}

Result<std::unique_ptr<Engine>> open_engine(const std::string& model_path, const EngineOptions& options, Output& out) {
  expect_lost_model(model_path, out);
  return Engine::open(model_path, options, out.log());
}

}  // namespace reform::tool
