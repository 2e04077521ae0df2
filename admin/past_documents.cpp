#include "admin/past_documents.hpp"

#include "admin/json_text.hpp"
#include "admin/printable.hpp"

#include <boost/json.hpp>
#include <fmt/chrono.h>

namespace pgsteady::admin {
namespace {

namespace json = boost::json;
using std::chrono::system_clock;

[[nodiscard]] json::string text(std::string_view ours) { return json::string(ours.data(), ours.size()); }

/// With milliseconds: what follows from one failure often happens within one second.
[[nodiscard]] json::string utc(system_clock::time_point at) {
    const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(at.time_since_epoch()).count();
    const std::string shown = fmt::format("{:%Y-%m-%dT%H:%M:%S}", fmt::gmtime(system_clock::to_time_t(at)));
    return text(fmt::format("{}.{:03}Z", shown, milliseconds % 1000));
}

[[nodiscard]] json::value text_or_null(const std::string& shown) {
    return shown.empty() ? json::value(nullptr) : json::value(json_string(shown));
}

[[nodiscard]] double unix_seconds(system_clock::time_point at) {
    return rounded(std::chrono::duration<double>(at.time_since_epoch()).count(), 1);
}

[[nodiscard]] double per_second(std::uint64_t count, const moment& in) {
    return in.lasted.count() > 0 ? rounded(static_cast<double>(count) / in.lasted.count(), 2) : 0.0;
}

[[nodiscard]] json::value milliseconds_or_null(const std::optional<double>& seconds) {
    return seconds ? json::value(rounded(*seconds * 1000, 3)) : json::value(nullptr);
}

[[nodiscard]] json::object recovery_document(const recovery& of, system_clock::time_point now) {
    return {{"incident", text(of.incident)},
            {"began", utc(of.began)},
            {"ended", of.ended ? json::value(utc(*of.ended)) : json::value(nullptr)},
            {"seconds", rounded(of.lasted(now).count(), 3)},
            {"what", json_string(of.what)},
            {"how", text_or_null(of.how)},
            {"clients", of.clients},
            {"waited", of.waited},
            {"gave_up", of.gave_up},
            {"repeated", of.repeated},
            {"told_to_retry", of.told_to_retry},
            {"result_lost", of.result_lost},
            {"commit_unknown", of.commit_unknown},
            {"statement_unknown", of.statement_unknown},
            {"incidents_total", of.incidents_total},
            {"incidents", json_strings(of.incidents)}};
}

}  // namespace

json::object entry_document(const journal_entry& of) {
    return {{"id", of.id},
            {"when", utc(of.when)},
            {"kind", text(of.kind)},
            {"level", text(to_string(of.level))},
            {"what", json_string(of.what)},
            {"incident", text_or_null(of.incident)},
            {"incidents", json_strings(of.incidents)}};
}

json::object moment_document(const moment& of) {
    return {{"at", unix_seconds(of.at)},
            {"seconds", rounded(of.lasted.count(), 3)},
            {"per_second", per_second(of.requests, of)},
            {"errors_per_second", per_second(of.errors, of)},
            {"repeated", of.repeated},
            {"interrupted", of.interrupted},
            {"p50_ms", milliseconds_or_null(of.p50)},
            {"p95_ms", milliseconds_or_null(of.p95)},
            {"p99_ms", milliseconds_or_null(of.p99)},
            {"clients", of.clients},
            {"active", of.active},
            {"waiting", of.waiting},
            {"mode", text(to_string(of.mode))}};
}

json::object timeline_document(const timeline& of) {
    json::object columns;
    // Of no moment at all: the names alone.
    for (const auto& member : moment_document(moment{})) columns[member.key()] = json::array();
    for (const moment& each : of.moments()) {
        const json::object row = moment_document(each);
        for (const auto& member : row) columns[member.key()].as_array().push_back(member.value());
    }
    return {{"interval_seconds", timeline::spacing.count()},
            {"moments", std::move(columns)},
            {"current", moment_document(of.current())}};
}

json::array recoveries_document(const recoveries& of, system_clock::time_point now) {
    json::array result;
    for (const recovery& each : of.all()) result.push_back(recovery_document(each, now));
    return result;
}

json::array journal_document(const journal& of) {
    constexpr std::size_t most = 100;
    json::array result;
    for (auto at = of.entries().rbegin(); at != of.entries().rend() && result.size() < most; ++at)
        result.push_back(entry_document(*at));
    return result;
}

}  // namespace pgsteady::admin
