// See log.hpp.
#include "proxy/worker/log.hpp"

#include "admin/printable.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>

namespace pgsteady::log {

namespace {

spdlog::level::level_enum to_spdlog(config::log_level level) {
    switch (level) {
        case config::log_level::debug: return spdlog::level::debug;
        case config::log_level::info: return spdlog::level::info;
        case config::log_level::warning: return spdlog::level::warn;
        case config::log_level::error: return spdlog::level::err;
    }
    return spdlog::level::info;
}

struct kind_state {
    std::chrono::steady_clock::time_point second{};
    std::uint32_t written = 0;
    std::uint64_t left_out = 0;
};

struct state {
    std::mutex mutex;
    std::map<std::string, kind_state, std::less<>> kinds;  // one entry per format string: bounded by the source
    std::uint32_t limit = 100;
    std::atomic<bool> json = false;
};

state& shared() {
    static state the;
    return the;
}

std::string json_escaped(std::string_view text) {
    std::string out;
    for (const char each : text) {
        if (each == '"' || each == '\\') out += '\\', out += each;
        else if (static_cast<unsigned char>(each) < 0x20) out += fmt::format("\\u{:04x}", static_cast<int>(each));
        else out += each;
    }
    return out;
}

/// `"message":"..."`, and before it the incident that the line begins with, so that it can be searched for.
std::string json_members(std::string_view line) {
    constexpr std::string_view word = "incident ";
    std::string result;
    const std::size_t end = line.find(':');
    if (line.starts_with(word) && end != std::string_view::npos)
        result = R"("incident":")" + json_escaped(line.substr(word.size(), end - word.size())) + R"(",)";
    // Names are what clients make them: not always UTF-8.
    return result + R"("message":")" + json_escaped(admin::printable(line, 16 * 1024)) + '"';
}

/// Whether this line may be written; tells how many of its kind were left out before it.
bool within_limit(std::string_view kind, std::uint64_t& left_out) {
    state& all = shared();
    const std::scoped_lock lock(all.mutex);
    auto at = all.kinds.find(kind);
    if (at == all.kinds.end()) at = all.kinds.emplace(kind, kind_state{}).first;
    kind_state& mine = at->second;
    const auto now = std::chrono::steady_clock::now();
    if (now - mine.second >= std::chrono::seconds(1)) {
        mine.second = now;
        mine.written = 0;
    }
    if (all.limit != 0 && mine.written >= all.limit) {
        ++mine.left_out;
        return false;
    }
    ++mine.written;
    left_out = std::exchange(mine.left_out, 0);
    return true;
}

}  // namespace

void set_up(const config::log_settings& settings) {
    state& all = shared();
    const std::scoped_lock lock(all.mutex);
    all.limit = settings.rate_limit;
    all.json = settings.format == config::log_format::json;
    // Never another logger: other threads may be writing with this one.
    static const std::shared_ptr<spdlog::logger> logger = [] {
        auto made = std::make_shared<spdlog::logger>("pgsteady", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        made->flush_on(spdlog::level::trace);
        spdlog::set_default_logger(made);
        return made;
    }();
    logger->set_level(to_spdlog(settings.level));
    logger->set_pattern(all.json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v})"
                                 : "%Y-%m-%d %H:%M:%S.%e %^%-7l%$ %v");
}

void set_level(config::log_level level) { spdlog::default_logger()->set_level(to_spdlog(level)); }

bool wanted(config::log_level level) { return spdlog::should_log(to_spdlog(level)); }

void write(config::log_level level, std::string_view kind, std::string line) {
    std::uint64_t left_out = 0;
    if (!within_limit(kind, left_out)) return;
    if (left_out > 0) line += fmt::format(" ({} similar lines left out)", left_out);
    if (shared().json) line = json_members(line);
    else
        for (char& each : line)  // one event, one line, whatever a client put into a name
            if (static_cast<unsigned char>(each) < 0x20) each = ' ';
    spdlog::log(to_spdlog(level), "{}", line);
}

}  // namespace pgsteady::log
