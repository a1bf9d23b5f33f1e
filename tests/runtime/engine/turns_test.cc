#include "runtime/engine/turns.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/take.h"

namespace reform {
namespace {

using namespace std::chrono_literals;
using Kind = Turns::Kind;

// Runs calls in threads of their own, and notes which of them runs.
class Calls {
 public:
  explicit Calls(std::chrono::milliseconds lease = 0ms) { turns.set_lease(lease); }

  // A call that pauses after each of its steps.
  std::future<void> start(char name, Kind kind, int n_steps) {
    return std::async(std::launch::async, [this, name, kind, n_steps] {
      const Turns::Turn turn = turns.take(kind, nullptr).value();
      for (int i = 0; i < n_steps; ++i) {
        if (n_inside.fetch_add(1) > 0) is_shared = true;
        order += name;
        std::this_thread::sleep_for(1ms);
        --n_inside;
        turns.pause();
      }
    });
  }
  // "a" and "b", of which neither begins before both wait.
  void run_two_questions(int n_steps) {
    std::future<void> a, b;
    {
      const Turns::Turn first = test::take(turns.take(Kind::kQuestion, nullptr));
      a = start('a', Kind::kQuestion, n_steps);
      wait_for_waiting(1);
      b = start('b', Kind::kQuestion, n_steps);
      wait_for_waiting(2);
    }
    a.get(), b.get();
  }
  void wait_for_waiting(int64_t n) {
    while (turns.n_waiting() < n) std::this_thread::yield();
  }

  Turns turns;
  std::atomic<int> n_inside = 0;
  std::atomic<bool> is_shared = false;  // two ran at a time
  std::string order;                    // of the steps; written by whose turn it is
};

int64_t count(const std::string& order, char name) { return std::ranges::count(order, name); }

TEST_CASE("questions take turns, and only one runs at a time", "[runtime][engine]") {
  Calls calls;
  calls.run_two_questions(20);
  CHECK_FALSE(calls.is_shared);
  CHECK(calls.order.substr(0, 30) == "ababababababababababababababab");
  CHECK(count(calls.order, 'b') == 20);
}

TEST_CASE("a lease that is not over is not interrupted", "[runtime][engine]") {
  Calls calls(10s);
  calls.run_two_questions(5);
  CHECK(calls.order == "aaaaabbbbb");
}

TEST_CASE("a reading runs in the gaps between questions, and gets one turn of nine", "[runtime][engine]") {
  Calls calls;
  std::future<void> reading, a, b;
  {
    const Turns::Turn first = test::take(calls.turns.take(Kind::kQuestion, nullptr));
    reading = calls.start('r', Kind::kReading, 10);
    calls.wait_for_waiting(1);
    a = calls.start('a', Kind::kQuestion, 20);
    calls.wait_for_waiting(2);
    b = calls.start('b', Kind::kQuestion, 20);
    calls.wait_for_waiting(3);
  }
  a.get(), b.get();
  reading.get();
  const std::string while_asked = calls.order.substr(0, calls.order.find_last_of("ab") + 1);
  CAPTURE(calls.order);
  CHECK(count(while_asked, 'r') >= 4);
  CHECK(count(while_asked, 'r') <= 5);
  CHECK(while_asked.find("rr") == std::string::npos);
  CHECK(count(calls.order, 'r') == 10);
}

TEST_CASE("no more calls begin at a time than there is memory for", "[runtime][engine]") {
  Calls calls;
  std::vector<std::future<void>> all;
  {
    const Turns::Turn first = test::take(calls.turns.take(Kind::kQuestion, nullptr));
    for (char name = 'a'; name < 'g'; ++name) {
      all.push_back(calls.start(name, Kind::kQuestion, 10));
      calls.wait_for_waiting(int64_t(all.size()));
    }
    for (char name = 'x'; name < 'z'; ++name) {
      all.push_back(calls.start(name, Kind::kReading, 10));
      calls.wait_for_waiting(int64_t(all.size()));
    }
  }
  for (auto& call : all) call.get();
  CHECK_FALSE(calls.is_shared);
  CAPTURE(calls.order);
  CHECK(calls.order.find('e') > calls.order.find_last_of('a'));  // the fifth begins when one of four has ended
  CHECK(calls.order.find('d') < calls.order.find_last_of('a'));
  CHECK(calls.order.find('y') > calls.order.find_last_of('x'));
  CHECK(calls.order.size() == 80);
}

TEST_CASE("a call that lacks memory waits for a question to end, if one will", "[runtime][engine]") {
  Turns turns;
  turns.set_lease(0ms);
  const auto alone = [&] {
    const Turns::Turn turn = test::take(turns.take(Kind::kQuestion, nullptr));
    return turns.wait_for_memory(nullptr);
  };
  CHECK_FALSE(alone());

  std::atomic<bool> wants = false;
  std::future<bool> got;
  {
    const Turns::Turn first = test::take(turns.take(Kind::kQuestion, nullptr));
    got = std::async(std::launch::async, [&] {
      const Turns::Turn turn = turns.take(Kind::kQuestion, nullptr).value();
      wants = true;
      return turns.wait_for_memory(nullptr);
    });
    while (!wants) turns.pause();
    turns.pause();
    CHECK(got.wait_for(20ms) == std::future_status::timeout);
    CHECK_FALSE(turns.wait_for_memory(nullptr));  // both would wait for each other
  }
  CHECK(got.get());
}

TEST_CASE("a question does not wait for the memory of a reading", "[runtime][engine]") {
  Turns turns;
  turns.set_lease(0ms);
  std::atomic<bool> is_asked = false;
  std::future<bool> got;
  const Turns::Turn reading = test::take(turns.take(Kind::kReading, nullptr));
  got = std::async(std::launch::async, [&] {
    const Turns::Turn turn = turns.take(Kind::kQuestion, nullptr).value();
    const bool waited = turns.wait_for_memory(nullptr);
    is_asked = true;
    return waited;
  });
  while (!is_asked) turns.pause();
  CHECK_FALSE(got.get());
}

TEST_CASE("a call that waits to begin, or for memory, can be stopped", "[runtime][engine]") {
  Turns turns;
  turns.set_lease(0ms);
  CancelToken cancel;
  std::atomic<bool> wants = false;
  std::future<bool> got;
  {
    const Turns::Turn first = test::take(turns.take(Kind::kQuestion, nullptr));
    auto waiting = std::async(std::launch::async, [&] { return turns.take(Kind::kReading, &cancel).status(); });
    while (turns.n_waiting() == 0) std::this_thread::yield();
    cancel.cancel();
    CHECK(waiting.get().code == Code::kCancelled);
    CHECK(turns.n_waiting() == 0);
    CancelToken later;
    got = std::async(std::launch::async, [&] {
      const Turns::Turn turn = turns.take(Kind::kQuestion, nullptr).value();
      wants = true;
      return turns.wait_for_memory(&later);
    });
    while (!wants) turns.pause();
    later.cancel();
    std::this_thread::sleep_for(60ms);  // it is polled for
    while (got.wait_for(0ms) != std::future_status::ready) turns.pause();
    CHECK_FALSE(got.get());
  }
  CHECK(turns.take(Kind::kQuestion, &cancel).status().code == Code::kCancelled);
  CHECK(turns.take(Kind::kQuestion, nullptr).ok());
}

TEST_CASE("where others would change what a call works on, nobody pauses", "[runtime][engine]") {
  Calls calls;
  calls.turns.never_pause();
  calls.run_two_questions(5);
  CHECK(calls.order == "aaaaabbbbb");
}

}  // namespace
}  // namespace reform
