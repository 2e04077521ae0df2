#include "proxy/switchover.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

constexpr auto glance = 20ms;

/// Where writes went: what must be different afterwards.
struct primary_identity {
    std::optional<std::size_t> host;
    std::uint32_t timeline = 0;
    std::string started_at;

    bool operator==(const primary_identity&) const = default;
};

[[nodiscard]] primary_identity identity_of(const cluster_view& view) {
    if (!view.primary) return {};
    const host_view& host = view.hosts[*view.primary];
    return {view.primary, host.timeline, host.started_at};
}

[[nodiscard]] std::string address_of(const cluster_view& view) {
    return view.primary ? view.hosts[*view.primary].address : std::string("none");
}

/// The operator's command, as the shell understands it, in a process group of its own; -1: it could not be started.
/// It inherits neither our sockets nor our environment, which may hold secrets.
[[nodiscard]] pid_t start_hook(const std::string& command, const std::string& old_primary) {
    std::string shell = "/bin/sh";
    std::string flag = "-c";
    std::string text = command;
    char* arguments[] = {shell.data(), flag.data(), text.data(), nullptr};
    std::string path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    std::string primary = "PGSTEADY_OLD_PRIMARY=" + old_primary;
    char* environment[] = {path.data(), primary.data(), nullptr};
    posix_spawnattr_t how;
    if (posix_spawnattr_init(&how) != 0) return -1;
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    pid_t child = -1;
    const int failed = posix_spawn(&child, shell.c_str(), &files, &how, arguments, environment);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    return failed == 0 ? child : -1;
}

}  // namespace

std::string_view to_string(switchover::step at) {
    switch (at) {
        case switchover::step::draining: return "draining";
        case switchover::step::running_hook: return "running_hook";
        case switchover::step::waiting: return "waiting_for_primary";
        case switchover::step::done: return "done";
        case switchover::step::failed: return "failed";
        case switchover::step::cancelled: return "cancelled";
    }
    return "failed";
}

switchover::~switchover() {
    (void)cancel();
    if (thread_.joinable()) thread_.join();
}

bool switchover::begin(plan what) {
    {
        const std::scoped_lock lock(mutex_);
        if (running_) return false;
        running_ = true;
        cancelled_ = false;
    }
    if (thread_.joinable()) thread_.join();
    enter(what, step::draining, "new work is held; open transactions may end");
    thread_ = std::thread([this, what = std::move(what)] { run(what); });
    return true;
}

bool switchover::cancel() {
    const std::scoped_lock lock(mutex_);
    if (!running_) return false;
    cancelled_ = true;
    wake_.notify_all();
    return true;
}

std::optional<switchover::status> switchover::now() const {
    const std::scoped_lock lock(mutex_);
    return status_;
}

bool switchover::pause(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return !wake_.wait_for(lock, time, [this] { return cancelled_; });
}

void switchover::enter(const plan& what, step at, std::string sentence) {
    status next{at, std::chrono::system_clock::now(), what.name, std::move(sentence)};
    {
        const std::scoped_lock lock(mutex_);
        status_ = next;
    }
    if (what.tell) what.tell(next);
}

void switchover::run(const plan& what) {
    what.which->hold(true);
    carry_out(what);
    what.which->hold(false);
    const std::scoped_lock lock(mutex_);
    running_ = false;
}

void switchover::carry_out(const plan& what) {
    const time_point deadline = std::chrono::steady_clock::now() + what.patience;
    const cluster::view_ptr before = what.which->view();
    const std::string cancelled = "released on request";
    if (!drain(what)) return enter(what, step::cancelled, cancelled);
    if (!what.settings.hook.empty()) {
        enter(what, step::running_hook, "the hook is moving the primary");
        if (!run_hook(what, address_of(*before), deadline)) return;
    }
    enter(what, step::waiting, "waiting for another primary than " + address_of(*before));
    if (wait_for_primary(what, *before, deadline))
        return enter(what, step::done, "the primary is " + address_of(*what.which->view()));
    const bool asked = !pause(0ms);
    enter(what, asked ? step::cancelled : step::failed,
          asked ? cancelled : fmt::format("no other primary within {} s; released", what.patience.count() / 1000));
}

/// False: cancelled. Work that takes longer than drain_timeout is left to its fate.
bool switchover::drain(const plan& what) {
    const time_point deadline = std::chrono::steady_clock::now() + what.settings.drain_timeout;
    while (what.open_work() > 0 && std::chrono::steady_clock::now() < deadline)
        if (!pause(glance)) return false;
    return pause(0ms);
}

/// False: it failed, took too long or was cancelled; enter() has said so.
bool switchover::run_hook(const plan& what, const std::string& old_primary, time_point deadline) {
    const pid_t child = start_hook(what.settings.hook, old_primary);
    if (child < 0) {
        enter(what, step::failed, "the hook cannot be started; released");
        return false;
    }
    int outcome = 0;
    bool alive = true;
    bool wanted = true;
    while (alive && wanted && std::chrono::steady_clock::now() < deadline) {
        const pid_t ended = ::waitpid(child, &outcome, WNOHANG);
        alive = ended == 0 || (ended < 0 && errno == EINTR);
        if (alive) wanted = pause(glance);
    }
    if (alive) {
        ::kill(-child, SIGKILL);
        while (::waitpid(child, &outcome, 0) < 0 && errno == EINTR) {
        }
        enter(what, wanted ? step::failed : step::cancelled,
              wanted ? "the hook took too long and was ended; released" : "the hook was ended; released on request");
        return false;
    }
    if (WIFEXITED(outcome) && WEXITSTATUS(outcome) == 0) return true;
    enter(what, step::failed,
          WIFEXITED(outcome) ? fmt::format("the hook ended with {}; released", WEXITSTATUS(outcome))
                             : std::string("the hook was ended by a signal; released"));
    return false;
}

bool switchover::wait_for_primary(const plan& what, const cluster_view& before, time_point deadline) {
    while (std::chrono::steady_clock::now() < deadline) {
        const cluster::view_ptr now = what.which->view();
        if (now->primary && !(identity_of(*now) == identity_of(before))) return true;
        if (!pause(glance)) return false;
    }
    return false;
}

}  // namespace pgsteady
