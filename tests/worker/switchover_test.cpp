// A planned switchover against a cluster that does what the test says. Steps take tens of milliseconds.
#include "proxy/switchover.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

class told_cluster final : public cluster {
public:
    told_cluster() {
        cluster_view first;
        first.hosts.resize(2);
        first.hosts[0].address = "a:5432";
        first.hosts[1].address = "b:5432";
        first.hosts[0].timeline = first.hosts[1].timeline = 1;
        first.primary = 0;
        put(first);
    }
    void put(cluster_view view) {
        const std::scoped_lock lock(mutex_);
        view_ = std::make_shared<const cluster_view>(std::move(view));
    }
    void promote_second() {
        cluster_view next = *view();
        next.primary = 1;
        next.hosts[1].timeline = 2;
        put(next);
    }
    [[nodiscard]] view_ptr view() const override {
        const std::scoped_lock lock(mutex_);
        return view_;
    }
    [[nodiscard]] std::uint64_t newest_sample() const override { return 0; }
    void report(host_report) override {}
    [[nodiscard]] crash_watch& crashes() override { return crashes_; }
    void waiting(unsigned, std::size_t) override {}
    void hold(bool on) override {
        held = on;
        ++holds;
    }
    void recover() override {}
    bool force(const std::string&, breaker_force) override { return true; }
    void set_values(const config::cluster_values&) override {}
    [[nodiscard]] std::vector<cluster_event> recent_events() const override { return {}; }

    std::atomic<bool> held{false};
    std::atomic<int> holds{0};

private:
    mutable std::mutex mutex_;
    crash_watch crashes_{2};
    view_ptr view_;
};

struct stage {
    std::shared_ptr<told_cluster> which = std::make_shared<told_cluster>();
    std::atomic<std::size_t> open{0};
    std::mutex mutex;
    std::vector<switchover::step> steps;

    [[nodiscard]] switchover::plan plan(std::string hook = {}) {
        switchover::plan result;
        result.which = which;
        result.name = "a:5432,b:5432";
        result.settings.drain_timeout = 200ms;
        result.settings.hook = std::move(hook);
        result.patience = 2s;
        result.open_work = [this] { return open.load(); };
        result.tell = [this](const switchover::status& now) {
            const std::scoped_lock lock(mutex);
            steps.push_back(now.at);
        };
        return result;
    }
};

switchover::status end_of(const switchover& what) {
    const auto limit = std::chrono::steady_clock::now() + 10s;
    while (!what.now()->over() && std::chrono::steady_clock::now() < limit) std::this_thread::sleep_for(2ms);
    return *what.now();
}

bool becomes(const std::atomic<bool>& value, bool wanted) {
    for (int turn = 0; turn < 2000 && value != wanted; ++turn) std::this_thread::sleep_for(1ms);
    return value == wanted;
}

}  // namespace

TEST_CASE("D6: hold, let work end, wait for another primary, release") {
    stage on;
    on.open = 1;
    switchover what;
    REQUIRE(what.begin(on.plan()));
    CHECK(becomes(on.which->held, true));
    CHECK(what.now()->at == switchover::step::draining);
    on.open = 0;
    on.which->promote_second();
    const switchover::status end = end_of(what);
    CHECK(end.at == switchover::step::done);
    CHECK(end.sentence == "the primary is b:5432");
    CHECK(becomes(on.which->held, false));
    using enum switchover::step;
    CHECK(on.steps == std::vector{draining, waiting, done});
}

TEST_CASE("D6: another life of the same primary is a role change, the same life is not") {
    stage on;
    switchover what;
    REQUIRE(what.begin(on.plan()));
    while (what.now()->at == switchover::step::draining) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(60ms);
    CHECK(what.now()->at == switchover::step::waiting);
    cluster_view restarted = *on.which->view();
    restarted.hosts[0].started_at = "later";
    on.which->put(restarted);
    CHECK(end_of(what).at == switchover::step::done);
}

TEST_CASE("Work that does not end is waited for no longer than drain_timeout") {
    stage on;
    on.open = 3;
    switchover what;
    REQUIRE(what.begin(on.plan()));
    on.which->promote_second();  // after hold(): the view was taken by then or shows the same
    const switchover::status end = end_of(what);
    CHECK(end.over());
    CHECK(becomes(on.which->held, false));
}

TEST_CASE("The hook moves the primary; one that fails or hangs leaves everything released") {
    stage on;
    switchover what;
    REQUIRE(what.begin(on.plan("exit 3")));
    switchover::status end = end_of(what);
    CHECK(end.at == switchover::step::failed);
    CHECK(end.sentence == "the hook ended with 3; released");
    CHECK(becomes(on.which->held, false));

    switchover::plan hanging = on.plan("sleep 60");
    hanging.patience = 300ms;
    while (!what.begin(hanging)) std::this_thread::sleep_for(1ms);
    end = end_of(what);
    CHECK(end.at == switchover::step::failed);
    CHECK(end.sentence.find("too long") != std::string::npos);

    while (!what.begin(on.plan("test \"$PGSTEADY_OLD_PRIMARY\" = a:5432"))) std::this_thread::sleep_for(1ms);
    while (what.now()->at < switchover::step::waiting) std::this_thread::sleep_for(1ms);
    CHECK(what.now()->at == switchover::step::waiting);
    on.which->promote_second();
    CHECK(end_of(what).at == switchover::step::done);
}

TEST_CASE("One at a time; it can be cancelled, and ends with its owner") {
    stage on;
    {
        switchover what;
        CHECK_FALSE(what.cancel());
        CHECK_FALSE(what.now().has_value());
        REQUIRE(what.begin(on.plan()));
        CHECK_FALSE(what.begin(on.plan()));
        CHECK(what.cancel());
        CHECK(end_of(what).at == switchover::step::cancelled);
        CHECK(becomes(on.which->held, false));
        while (!what.begin(on.plan("sleep 60"))) std::this_thread::sleep_for(1ms);
    }
    CHECK_FALSE(on.which->held);
    CHECK(on.which->holds == 4);
}

TEST_CASE("Without another primary in time it gives up and releases") {
    stage on;
    switchover what;
    switchover::plan short_one = on.plan();
    short_one.patience = 150ms;
    REQUIRE(what.begin(short_one));
    CHECK(end_of(what).at == switchover::step::failed);
    CHECK(becomes(on.which->held, false));
}
