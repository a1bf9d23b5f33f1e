#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <iostream>

#include "tests/support/skip.h"

namespace {

int n_begun = 0, n_skipped = 0;

struct CaseCounter : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;
  void testCaseStarting(const Catch::TestCaseInfo&) override { ++n_begun; }
};
CATCH_REGISTER_LISTENER(CaseCounter)

constexpr int kSkippedStatus = 77;  // SKIP_RETURN_CODE in tests/CMakeLists.txt

}  // namespace

// scripts/ci.py reads this line.
void reform::test::skip(const std::string& why) {
  ++n_skipped;
  std::cout << "SKIPPED: " << why << std::endl;
}

int main(int argc, char** argv) {
  Catch::Session session;
  int status = session.applyCommandLine(argc, argv);
  if (status == 0) status = session.run();
  if (status != 0) return 1;  // Catch's own status counts failures, and may be 77
  if (session.configData().showHelp) return 0;
  if (n_begun == 0) {
    std::cerr << "no test case has run\n";
    return 1;
  }
  return n_skipped == n_begun ? kSkippedStatus : 0;
}
