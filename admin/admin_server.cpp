#include "admin/admin_server.hpp"

#include "admin/documents.hpp"
#include "admin/http_server.hpp"
#include "admin/json_text.hpp"
#include "admin/page_routes.hpp"
#include "admin/printable.hpp"
#include "admin/routes.hpp"
#include "admin/webhook.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <csignal>
#include <cstdint>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace pgsteady::admin {
namespace {

namespace asio = boost::asio;

/// Passes one line per second on and says how many it kept back.
class bounded_warning {
public:
    explicit bounded_warning(std::function<void(const std::string&)> to) : to_(std::move(to)) {}

    void operator()(std::string line) {
        const auto now = std::chrono::steady_clock::now();
        if (!to_ || (passed_ && now - last_ < std::chrono::seconds(1))) {
            ++kept_;
            return;
        }
        if (kept_ > 0) line += " (and " + std::to_string(kept_) + " more since the last such line)";
        kept_ = 0;
        passed_ = true;
        last_ = now;
        to_(line);
    }

private:
    std::function<void(const std::string&)> to_;
    std::chrono::steady_clock::time_point last_{};
    std::uint64_t kept_ = 0;
    bool passed_ = false;
};

/// Signals are main's: this thread blocks all of them, those it starts too.
class signals_blocked {
public:
    signals_blocked() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    signals_blocked(const signals_blocked&) = delete;
    signals_blocked& operator=(const signals_blocked&) = delete;

private:
    sigset_t before_{};
};

}  // namespace

class admin_server::machinery {
public:
    machinery(const config::admin_settings& settings, hooks to, const http_limits& limits)
        : host_(settings.host),
          configured_port_(settings.port),
          wants_tls_(!settings.tls.cert_file.empty() && !(to.tls && to.tls())),
          rules_(settings),
          sample_interval_(limits.sample_interval),
          limits_(limits),
          warn_(std::move(to.warn)),
          alarmed_(std::move(to.alarm)),
          run_(std::move(to.run)),
          configuration_(std::move(to.configuration)),
          watch_([this, take = std::move(to.take_snapshot)] { return with_own(take()); }, std::move(to.take_readiness),
                 limits.snapshot_age),
          feed_({.listeners = limits.listeners, .bytes = limits.listener_bytes}),
          router_(all_routes(), rules_, {watch_, alarm_, past_, feed_, run_, configuration_}),
          sampling_(loop_),
          showing_(loop_),
          picture_interval_(limits.picture_interval),
          webhook_(loop_, [this](std::string line) { warn_(std::move(line)); }),
          server_(loop_, limits,
                  {[this](const request& head) { return screen(head); },
                   [this](const request& from) { return answer(from); }, std::move(to.tls), std::move(to.inherited)}) {
        past_.tell({.entry = [this](const journal_entry& entry) { feed_.tell(entry); },
                    .moment_completed = [this](const moment& completed) { feed_.tell(completed); }});
        feed_.on_first([this] { showing_.cancel(); });
        webhook_.follow(to.alerts);
    }

    [[nodiscard]] std::string start();
    [[nodiscard]] std::uint16_t port() const { return server_.port(); }
    [[nodiscard]] std::vector<int> sockets() { return server_.sockets(); }
    void follow(const config::admin_settings& settings, const config::alert_settings& alerts);
    void stop();

private:
    void run();
    void close();
    [[nodiscard]] asio::awaitable<void> take_samples();
    [[nodiscard]] asio::awaitable<void> show_pictures();
    void judge();
    void look(bool show);
    [[nodiscard]] snapshot with_own(snapshot taken);
    [[nodiscard]] std::optional<response> screen(const request& head);
    [[nodiscard]] asio::awaitable<response> answer(const request& from);
    [[nodiscard]] asio::awaitable<response> carry_out(slow_work what, std::string& problem);

    std::string host_;
    std::uint16_t configured_port_;
    bool wants_tls_;
    access_rules rules_;
    std::chrono::milliseconds sample_interval_;
    http_limits limits_;
    bounded_warning warn_;
    std::function<void(const std::string&)> alarmed_;
    commands run_;
    std::function<std::vector<config::effective_value>()> configuration_;
    observer watch_;
    alerts alarm_;
    chronicle past_;
    event_feed feed_;
    router router_;
    asio::io_context loop_{1};
    asio::steady_timer sampling_;
    asio::steady_timer showing_;
    std::chrono::milliseconds picture_interval_;
    webhook webhook_;
    http_server server_;
    std::size_t slow_ = 0;  ///< slow commands in progress
    std::uint64_t commands_refused_ = 0;
    bool closing_ = false;
    std::optional<asio::thread_pool> slow_thread_;
    std::thread thread_;
};

std::string admin_server::machinery::start() {
    if (std::string refusal = rules_.refusal_to_open(); !refusal.empty()) return refusal;
    if (wants_tls_)
        return "admin.tls: there is no certificate to show; tokens would travel in clear where TLS is expected";
    if (std::string problem = server_.listen(host_, configured_port_); !problem.empty()) return problem;
    asio::co_spawn(loop_, take_samples(), asio::detached);
    asio::co_spawn(loop_, show_pictures(), asio::detached);
    try {
        const signals_blocked here;
        slow_thread_.emplace(1);
        thread_ = std::thread([this] { run(); });
    } catch (const std::system_error& error) {
        close();
        loop_.run();
        return std::string("the admin thread cannot be started: ") + error.what();
    }
    return {};
}

void admin_server::machinery::stop() {
    if (!thread_.joinable()) return;
    asio::post(loop_, [this] { close(); });
    thread_.join();
    slow_thread_->join();
}

void admin_server::machinery::follow(const config::admin_settings& settings, const config::alert_settings& alerts) {
    asio::post(loop_, [this, rules = access_rules(settings), alerts, limits = limits_of(settings, limits_)]() mutable {
        router_.set_rules(std::move(rules));
        limits_ = limits;
        server_.set_limits(limits);
        feed_.set_limits({.listeners = limits.listeners, .bytes = limits.listener_bytes});
        webhook_.follow(alerts);
    });
}

/// Ends when nothing is left to wait for, which close() brings about.
void admin_server::machinery::run() {
    for (;;) {
        try {
            loop_.run();
            return;
        } catch (const std::exception& error) {
            warn_(std::string("admin port: ") + error.what());
        }
    }
}

void admin_server::machinery::close() {
    closing_ = true;
    sampling_.cancel();
    feed_.end();
    showing_.cancel();
    webhook_.close();
    server_.close();
}

/// Points of the last minute are taken whether or not somebody reads.
asio::awaitable<void> admin_server::machinery::take_samples() {
    while (!closing_) {
        look(false);
        boost::system::error_code error;
        sampling_.expires_after(sample_interval_);
        co_await sampling_.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
}

/// How things are, again and again while somebody listens; sooner when an order was carried out.
asio::awaitable<void> admin_server::machinery::show_pictures() {
    while (!closing_) {
        const bool heard = feed_.heard();
        if (heard) look(true);
        boost::system::error_code error;
        if (heard) showing_.expires_after(picture_interval_);
        else showing_.expires_after(std::chrono::hours(1));
        co_await showing_.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
}

void admin_server::machinery::look(bool show) {
    try {
        judge();
        if (show) feed_.show([this] { return picture_document({watch_, alarm_, past_, feed_, run_, configuration_}); });
    } catch (const std::exception& error) {
        warn_(std::string("admin port: no snapshot: ") + error.what());
    }
}

/// What changes among the alerts is told in the log and in the journal.
void admin_server::machinery::judge() {
    const observation& seen = watch_.observe();
    const auto keys = [this] {
        std::map<std::string, alert> result;
        for (alert& each : alarm_.active()) result.emplace(each.name + ' ' + each.about, std::move(each));
        return result;
    };
    const auto before = keys();
    past_.see(std::chrono::steady_clock::now(), seen);
    alarm_.judge(seen);
    const auto after = keys();
    for (const auto& [key, each] : after) {
        if (before.contains(key)) continue;
        past_.alert_began(each);
        if (alarmed_) alarmed_("alert: " + key + " (" + std::string(to_string(each.level)) + "): " + each.advice);
        webhook_.tell(json_text(webhook_document("raised", each, seen)));
    }
    for (const auto& [key, each] : before) {
        if (after.contains(key)) continue;
        past_.alert_over(each, seen.taken_at);
        if (alarmed_) alarmed_("alert is over: " + key);
        webhook_.tell(json_text(webhook_document("resolved", each, seen)));
    }
}

/// What only the admin port itself knows.
snapshot admin_server::machinery::with_own(snapshot taken) {
    const http_server::counts& so_far = server_.so_far();
    taken.admin_port = {.connections = server_.open(),
                        .listeners = feed_.listening(),
                        .commands = slow_,
                        .accepted = so_far.accepted,
                        .answers = so_far.answers,
                        .refused = {{"connections", so_far.refused},
                                    {"listeners", feed_.refused()},
                                    {"commands", commands_refused_},
                                    {"gave_way", so_far.given_way},
                                    {"timeout", so_far.timeouts}}};
    if (so_far.handshakes + so_far.handshakes_failed > 0)
        taken.tls.push_back({"admin", so_far.handshakes, so_far.handshakes_failed});
    const webhook_counts& counts = webhook_.counts();
    taken.webhook = {{"delivered", counts.delivered}, {"failed", counts.failed}, {"dropped", counts.dropped}};
    return taken;
}

std::optional<response> admin_server::machinery::screen(const request& head) {
    std::optional<response> refusal = router_.refusal(head);
    if (refusal && (refusal->status == 401 || refusal->status == 403))
        warn_("admin port: refused " + head.peer + ' ' + printable(head.method, 16) + ' ' +
              printable(head.path(), 100) + " with " + std::to_string(refusal->status));
    return refusal;
}

asio::awaitable<response> admin_server::machinery::answer(const request& from) {
    std::string problem;
    reply made = router_.answer(from, problem);
    response result;  // no co_await inside of an expression: GCC 12 destroys its temporaries twice
    if (auto* slow = std::get_if<slow_work>(&made)) result = co_await carry_out(std::move(*slow), problem);
    else result = std::get<response>(std::move(made));
    if (!problem.empty()) warn_("admin port: " + printable(from.path(), 100) + " failed: " + problem);
    if (result.audit.empty()) co_return result;
    watch_.forget();
    const std::string what = printable(from.method, 16) + ' ' + printable(from.path(), 100) + ": " + result.audit;
    past_.command(std::chrono::system_clock::now(), what);
    showing_.cancel();
    if (run_.audit) run_.audit(from.peer + " with the operate token, " + what);
    co_return result;
}

/// The loop goes on meanwhile. Slow commands are few, and one runs at a time.
asio::awaitable<response> admin_server::machinery::carry_out(slow_work what, std::string& problem) {
    if (slow_ >= limits_.slow_commands) {
        ++commands_refused_;
        response busy = problem_answer(503, "other commands are still being carried out; try again");
        busy.headers.emplace_back("Retry-After", "1");
        co_return busy;
    }
    ++slow_;
    std::string failure;
    co_await asio::co_spawn(
        *slow_thread_,
        [&]() -> asio::awaitable<void> {
            try {
                what.work();
            } catch (const std::exception& error) {
                failure = error.what();
            } catch (...) {
                failure = "an unknown exception";
            }
            co_return;
        },
        asio::use_awaitable);
    --slow_;
    if (failure.empty()) {
        try {
            co_return what.finish();
        } catch (const std::exception& error) {
            failure = error.what();
        }
    }
    problem = std::move(failure);
    co_return failure_answer();
}

http_limits limits_of(const config::admin_settings& settings, http_limits paces) {
    paces.head_bytes = settings.max_head;
    paces.body_bytes = settings.max_body;
    paces.connections = settings.max_connections;
    paces.read_timeout = settings.read_timeout;
    paces.write_timeout = settings.write_timeout;
    paces.idle_timeout = settings.idle_timeout;
    paces.slow_commands = settings.max_commands;
    paces.listeners = settings.max_listeners;
    paces.listener_bytes = settings.listener_bytes;
    return paces;
}

admin_server::admin_server(const config::admin_settings& settings, hooks to, const http_limits& limits)
    : machinery_(std::make_unique<machinery>(settings, std::move(to), limits)) {}

admin_server::~admin_server() {
    try {
        stop();
    } catch (...) {
        std::terminate();  // no memory to tell the thread, which uses what is about to be freed
    }
}

std::string admin_server::start() { return machinery_->start(); }

std::uint16_t admin_server::port() const { return machinery_->port(); }
std::vector<int> admin_server::sockets() const { return machinery_->sockets(); }

void admin_server::follow(const config::admin_settings& settings, const config::alert_settings& alerts) {
    machinery_->follow(settings, alerts);
}

void admin_server::stop() { machinery_->stop(); }

}  // namespace pgsteady::admin
