// Timeouts under a clock of our own.
#include "proxy/policy/client_timeouts.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

const client_activity::time_point start{1h};
const timeout_limits all{1s, 10s, 2s, 5s};

}  // namespace

TEST_CASE("P51: a limit of 0 is off") {
    client_activity doing;
    doing.working = doing.running = doing.in_transaction = true;
    doing.request_since = doing.last_activity = doing.transaction_since = start;
    CHECK(judge_timeouts({}, doing, start + 24h) == timeout_verdict::none);
    CHECK_FALSE(timeout_limits{}.any());
    CHECK(all.any());
}

TEST_CASE("a statement is cancelled when it has run too long, not when it has waited") {
    client_activity doing;
    doing.working = true;
    doing.request_since = start;
    CHECK(judge_timeouts(all, doing, start + 3s) == timeout_verdict::none);
    doing.running = true;
    CHECK(judge_timeouts(all, doing, start + 1s) == timeout_verdict::none);
    CHECK(judge_timeouts(all, doing, start + 1001ms) == timeout_verdict::cancel_statement);
}

TEST_CASE("D17: idle in transaction and idle are told apart") {
    client_activity doing;
    doing.last_activity = start;
    CHECK(judge_timeouts(all, doing, start + 3s) == timeout_verdict::none);
    CHECK(judge_timeouts(all, doing, start + 6s) == timeout_verdict::end_idle);
    doing.in_transaction = true;
    doing.transaction_since = start;
    CHECK(judge_timeouts(all, doing, start + 3s) == timeout_verdict::end_idle_in_transaction);
}

TEST_CASE("the whole transaction has its limit, whatever it is doing") {
    client_activity doing;
    doing.in_transaction = true;
    doing.transaction_since = start;
    doing.last_activity = start + 10s;
    CHECK(judge_timeouts(all, doing, start + 10s) == timeout_verdict::none);
    CHECK(judge_timeouts(all, doing, start + 11s) == timeout_verdict::end_transaction);
    doing.working = true;
    CHECK(judge_timeouts(all, doing, start + 11s) == timeout_verdict::end_transaction);
}
