// SHOW STATS and its kin (show.hpp): what each database's clients have done since start, and per second in the last minute.
#include "proxy/console/show.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

namespace pgsteady {
namespace {

using type = console_type;

/// One figure in its three tables: STATS, STATS_TOTALS/STATS_AVERAGES, TOTALS.
struct figure {
    std::string_view total;
    std::string_view average;
    std::string_view plain;
    std::string_view summed;  // of TOTALS
    std::string_view summed_average;
    double (*count)(const console_totals&);
    double (*mean_of)(const console_totals&);  // null: the average is per second; else a mean over these
};

constexpr double in_microseconds = 1e6;

constexpr std::array<figure, 7> figures{{
    {"total_xact_count", "avg_xact_count", "xact_count", "total_xact_count", "avg_xact_count",
     [](const console_totals& of) { return of.transactions; }, nullptr},
    {"total_query_count", "avg_query_count", "query_count", "total_query_count", "avg_query_count",
     [](const console_totals& of) { return of.requests; }, nullptr},
    {"total_received", "avg_recv", "bytes_received", "total_client_bytes", "avg_client_bytes",
     [](const console_totals& of) { return of.bytes_in; }, nullptr},
    {"total_sent", "avg_sent", "bytes_sent", "total_server_bytes", "avg_server_bytes",
     [](const console_totals& of) { return of.bytes_out; }, nullptr},
    {"total_xact_time", "avg_xact_time", "xact_time", "total_xact_time", "avg_xact_time",
     [](const console_totals& of) { return of.attached_seconds * in_microseconds; },
     [](const console_totals& of) { return of.transactions; }},
    {"total_query_time", "avg_query_time", "query_time", "total_query_time", "avg_query_time",
     [](const console_totals& of) { return of.executing_seconds * in_microseconds; },
     [](const console_totals& of) { return of.requests; }},
    {"total_wait_time", "avg_wait_time", "wait_time", "total_wait_time", "avg_wait_time",
     [](const console_totals& of) { return of.wait_seconds * in_microseconds; },
     [](const console_totals& of) { return of.waits; }},
}};

std::string whole(double value) { return fmt::format("{:.0f}", value); }

std::string average(const figure& of, const console_totals& happened, double seconds) {
    const double among = of.mean_of != nullptr ? of.mean_of(happened) : seconds;
    return whole(among > 0 ? of.count(happened) / among : 0);
}

/// All databases, in order, with what they have done in all and lately.
template <class Add>
void for_each_database(const console_view& view, Add add) {
    for (const auto& [name, totals] : totals_of(view.now)) {
        const auto recent = view.recent.happened.find(name);
        add(name, totals, recent == view.recent.happened.end() ? console_totals{} : recent->second);
    }
}

}  // namespace

console_table stats_table(const console_view& view) {
    console_table made;
    made.columns = {{"database"}};
    for (const figure& each : figures) made.columns.push_back({each.total, type::numeric});
    for (const figure& each : figures) made.columns.push_back({each.average, type::numeric});
    made.columns.push_back({"total_requests", type::numeric});  // until PgBouncer 1.7; Debian's exporter asks for it
    for_each_database(view, [&](const std::string& name, const console_totals& totals, const console_totals& recent) {
        console_row& row = made.row();
        row.add(name);
        for (const figure& each : figures) row.add(whole(each.count(totals)));
        for (const figure& each : figures) row.add(average(each, recent, view.recent.seconds));
        row.add(whole(totals.requests));
    });
    return made;
}

console_table stats_totals_table(const console_view& view) {
    console_table made;
    made.columns = {{"database"}};
    for (const figure& each : figures) made.columns.push_back({each.plain, type::numeric});
    for_each_database(view, [&](const std::string& name, const console_totals& totals, const console_totals&) {
        console_row& row = made.row();
        row.add(name);
        for (const figure& each : figures) row.add(whole(each.count(totals)));
    });
    return made;
}

console_table stats_averages_table(const console_view& view) {
    console_table made;
    made.columns = {{"database"}};
    for (const figure& each : figures) made.columns.push_back({each.plain, type::numeric});
    for_each_database(view, [&](const std::string& name, const console_totals&, const console_totals& recent) {
        console_row& row = made.row();
        row.add(name);
        for (const figure& each : figures) row.add(average(each, recent, view.recent.seconds));
    });
    return made;
}

console_table totals_table(const console_view& view) {
    console_totals all;
    console_totals lately;
    for_each_database(view, [&](const std::string&, const console_totals& totals, const console_totals& recent) {
        all += totals;
        lately += recent;
    });
    console_table made;
    made.columns = {{"name"}, {"value", type::numeric}};
    for (const figure& each : figures) made.row().add(each.summed).add(whole(each.count(all)));
    for (const figure& each : figures)
        made.row().add(each.summed_average).add(average(each, lately, view.recent.seconds));
    return made;
}

}  // namespace pgsteady
