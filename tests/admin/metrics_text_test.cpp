// The Prometheus page: names that were promised, and a format that scrapers take.
#include "admin/metrics_text.hpp"

#include "tests/admin/admin_support.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>

using namespace pgsteady::admin;
using namespace pgsteady::admin::test;

namespace {

bool has_line(const std::string& text, const std::string& line) {
    return ('\n' + text).find('\n' + line + '\n') != std::string::npos;
}

std::string metrics_text(const observation& seen, metric_format format = metric_format::prometheus) {
    std::string result;
    write_metrics(result, seen, format);
    return result;
}

/// The sample with something in every field that a metric is made of.
observation full_observation() {
    observation seen = sample_observation();
    const histogram some{{0.001, 0.1}, {1, 2, 3}, 0.5};
    snapshot& now = seen.now;
    now.pools[0].pins = {{"temp_object", 1}};
    now.pools[0].durations = pool_durations{some, some, some, {{"select", some, some}}};
    now.backends[0].lag_seconds = 1;
    now.backends[0].latency_seconds = 0.001;
    now.backends[0].timeline = 3;
    now.breaker_scopes = {{.scope = "db1:5432", .state = breaker_state::open, .trips_total = 2}};
    now.retries = {{"attempted", 1}};
    now.replays = {{"transaction_lost", 1}};
    now.in_doubt = {{"commit_unknown", 1}};
    now.in_doubt_paths = {{"crash_after_marker", "committed", 2}};
    now.retry_classes = {{"connection", "attempted", 4}};
    now.holds = {{"served", 5}};
    now.recovery_seconds = some;
    now.memory = {{"analysed_statements", 4096}};
    now.tls = {{"client", 7, 1}};
    now.reload.applied = 2;
    now.admin_port = {.connections = 3, .refused = {{"connections", 1}}};
    now.console_clients = 2;
    now.reload.last = seen.taken_at;
    now.certificates = {{"listen.tls.cert_file", seen.taken_at}};
    return seen;
}

struct family {
    std::string name;
    std::string type;
    std::string help;
    std::vector<std::string> samples;
};

/// Reads the page back: families in order, each with its lines.
std::vector<family> families_of(const std::string& text) {
    std::vector<family> result;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("# HELP ")) {
            const std::size_t end = line.find(' ', 7);
            result.push_back({line.substr(7, end - 7), {}, line.substr(end + 1), {}});
        } else if (line.starts_with("# TYPE ")) {
            const std::size_t end = line.find(' ', 7);
            CHECK(line.substr(7, end - 7) == result.back().name);
            result.back().type = line.substr(end + 1);
        } else if (line != "# EOF") {
            result.back().samples.push_back(line);
        }
    }
    return result;
}

}  // namespace

TEST_CASE("Metrics of the old systems keep their names, labels and values") {
    const std::string text = metrics_text(sample_observation());
    for (
        const char* line : {
            R"(db_connections_active{pool="app/alice"} 5)",
            R"(db_connections_idle{pool="app/alice"} 15)",
            R"(db_connections_wait_time_ms{pool="app/alice"} 2.5)",
            R"(db_query_total{operation="select",status="success"} 199)",
            R"(db_query_total{operation="select",status="error"} 1)",
            R"(db_query_duration_seconds_bucket{operation="select",status="success",le="0.001"} 150)",
            R"(db_query_duration_seconds_bucket{operation="select",status="success",le="0.1"} 190)",
            R"(db_query_duration_seconds_bucket{operation="select",status="success",le="+Inf"} 199)",
            R"(db_query_duration_seconds_count{operation="select",status="success"} 199)",
            R"(db_circuit_breaker_state{state="closed"} 1)",
            R"(db_circuit_breaker_state{state="open"} 0)",
            R"(db_circuit_breaker_state{state="half_open"} 0)",
            R"(db_circuit_breaker_failures_total 0)",
            R"(pgsteady_build_info{version="1.2.3",revision="0123456789ab",compiler="gcc 12.2.0",openssl="3.0.17",parser="15.1"} 1)",
            R"(pgsteady_io_engine{engine="epoll"} 0)",
            R"(pgsteady_io_engine{engine="io_uring"} 1)",
            R"(pgsteady_mode{mode="normal"} 1)",
            R"(pgsteady_pool_overflow{pool="app/alice"} 2)",
            R"(pgsteady_backend_up{backend="db2:5432"} 0)",
        })
        CHECK_MESSAGE(has_line(text, line), line);
}

TEST_CASE("Every family has help, a type and a name by the rules, once") {
    for (const metric_format format : {metric_format::prometheus, metric_format::openmetrics}) {
        std::set<std::string> names;
        std::set<std::string> series;
        for (const family& each : families_of(metrics_text(full_observation(), format))) {
            INFO(each.name);
            CHECK(names.insert(each.name).second);
            CHECK(std::regex_match(each.name, std::regex("(db|pgsteady)_[a-z][a-z_]*")));
            CHECK(each.help.ends_with('.'));
            const bool counter_name = each.name.ends_with("_total");
            CHECK(counter_name == (each.type == "counter" && format == metric_format::prometheus));
            CHECK_FALSE(each.samples.empty());
            for (const std::string& sample : each.samples) {
                CHECK(sample.starts_with(each.name));
                CHECK_MESSAGE(series.insert(sample.substr(0, sample.rfind(' '))).second, sample);
                if (each.type == "counter") CHECK(sample.substr(0, sample.find_first_of("{ ")).ends_with("_total"));
            }
        }
        CHECK(names.size() > 80);
    }
}

TEST_CASE("The text is what prometheus-cpp writes of the same values") {
    const histogram seconds{{1e-5, 0.25, 60}, {1, 0, 2, 1}, 70.125};
    std::string ours;
    exposition to(ours, metric_format::prometheus);
    to.begin(exposition::kind::Counter, "some_total", "Help.");
    to.add(label("pool", "a\"b\\c\nd"), std::uint64_t{4503599627370497});
    to.add(label("pool", "e") + ',' + label("reason", "f"), 0.5);
    to.begin(exposition::kind::Gauge, "nothing", "Has no sample.");
    to.begin(exposition::kind::Histogram, "some_seconds", "Durations.");
    to.add(label("pool", "e"), seconds);
    to.add({}, seconds);
    to.end();

    using prometheus::ClientMetric;
    ClientMetric one, two, three;
    one.label = {{"pool", "a\"b\\c\nd"}};
    one.counter.value = 4503599627370497.0;
    two.label = {{"pool", "e"}, {"reason", "f"}};
    two.counter.value = 0.5;
    three.histogram.sample_count = 4;
    three.histogram.sample_sum = 70.125;
    three.histogram.bucket = {{1, 1e-5}, {1, 0.25}, {3, 60}, {4, std::numeric_limits<double>::infinity()}};
    ClientMetric four = three;
    three.label = {{"pool", "e"}};
    std::ostringstream theirs;
    prometheus::TextSerializer().Serialize(
        theirs, {{"some_total", "Help.", prometheus::MetricType::Counter, {one, two}},
                 {"some_seconds", "Durations.", prometheus::MetricType::Histogram, {three, four}}});

    /// Lines with their numbers read, and of a histogram's lines without regard to their order.
    const auto read = [](const std::string& text) {
        std::multiset<std::string> result;
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            const std::size_t end = line.rfind(' ');
            result.insert(line.starts_with('#')
                              ? line
                              : line.substr(0, end) + ' ' + std::to_string(std::stod(line.substr(end + 1))));
        }
        std::string joined;
        for (const std::string& each : result) joined += each + '\n';
        return joined;
    };
    CHECK(read(ours) == read(theirs.str()));
}

TEST_CASE("OpenMetrics is written to whom asks for it, and ends as it must") {
    const std::string text = metrics_text(full_observation(), metric_format::openmetrics);
    CHECK(text.ends_with("\n# EOF\n"));
    CHECK(text.find("# TYPE db_query counter\n") != std::string::npos);
    CHECK(has_line(text, R"(db_query_total{operation="select",status="success"} 199)"));
    CHECK(text.find("le=\"0.001\"") != std::string::npos);
    observation seen = full_observation();
    seen.now.wait_seconds = {{1e-05, 60}, {0, 1, 0}, 60};
    const std::string bounds = metrics_text(seen, metric_format::openmetrics);
    CHECK(bounds.find("pgsteady_queue_wait_seconds_bucket{le=\"60.0\"}") != std::string::npos);
    CHECK(bounds.find("pgsteady_queue_wait_seconds_bucket{le=\"1e-05\"}") != std::string::npos);

    CHECK(accepts_openmetrics(
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
    CHECK_FALSE(accepts_openmetrics("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
    CHECK_FALSE(accepts_openmetrics(""));
    CHECK_FALSE(accepts_openmetrics("text/plain, application/openmetrics-text;q=0"));
}

TEST_CASE("Pools beyond the first have no histograms of their own, and are counted") {
    observation seen = full_observation();
    seen.now.pools.push_back(seen.now.pools[0]);
    seen.now.pools[1].database = "other";
    seen.now.pools[1].durations.reset();
    const std::string text = metrics_text(seen);
    CHECK(text.find(R"(pgsteady_pool_request_seconds_count{pool="app/alice",operation="select"} 6)") !=
          std::string::npos);
    CHECK(text.find(R"(pgsteady_pool_request_seconds_count{pool="other/alice")") == std::string::npos);
    CHECK(has_line(text, R"(pgsteady_pool_size{pool="other/alice"} 18)"));
    CHECK(has_line(text, "pgsteady_pools_without_histograms 1"));
}

TEST_CASE("Bounds of buckets are written as they were meant") {
    observation seen = sample_observation();
    seen.now.wait_seconds = {{1e-5, 2.5e-5, 2.5e-4, 0.1, 60}, {1, 1, 1, 1, 1, 1}, 70};
    const std::string text = metrics_text(seen);
    for (const char* bound : {"1e-05", "2.5e-05", "0.00025", "0.1", "60", "+Inf"})
        CHECK_MESSAGE(
            text.find("pgsteady_queue_wait_seconds_bucket{le=\"" + std::string(bound) + "\"}") != std::string::npos,
            bound);
}

TEST_CASE("A hostile name stays within its label") {
    observation seen = sample_observation();
    seen.now.pools[0].database = "x\"} 1\ny\\";
    const std::string text = metrics_text(seen);
    CHECK(text.find(R"(db_connections_active{pool="x\"} 1%0Ay\\/alice"} 5)") != std::string::npos);
    std::istringstream lines(text);
    const std::regex sample(R"re([a-z_]+(\{([a-z]+="([^"\\]|\\.)*",?)+\})? [-+.0-9eE]+)re");
    for (std::string line; std::getline(lines, line);)
        CHECK_MESSAGE((line.starts_with("# ") || std::regex_match(line, sample)), line);
}

TEST_CASE("A histogram that is not known is left out, not shown as zero") {
    observation seen = sample_observation();
    for (auto& each : seen.now.operations) each.seconds = {};
    const std::string text = metrics_text(seen);
    CHECK(text.find("db_query_duration_seconds") == std::string::npos);
    CHECK(text.find("db_query_total{") != std::string::npos);
}

TEST_CASE("P61: Counters by pool wait until every worker has answered, so that they never seem to restart") {
    observation seen = sample_observation();
    CHECK(metrics_text(seen).find("pgsteady_pool_checkouts_total{") != std::string::npos);
    seen.now.workers[1].answered = false;
    CHECK(metrics_text(seen).find("pgsteady_pool_checkouts_total{") == std::string::npos);
    CHECK(metrics_text(seen).find("db_connections_active{") != std::string::npos);
}

TEST_CASE("Every metric that the rules and the Grafana dashboard name exists") {
    std::set<std::string> known;
    for (const family& each : families_of(metrics_text(full_observation()))) known.insert(each.name);
    for (const auto& [name, least] : {std::pair{"prometheus-alerts.yaml", 9}, std::pair{"grafana/pgsteady.json", 35}}) {
        std::ifstream file(std::string(PGSTEADY_SOURCE_DIR) + "/deploy/" + name);
        REQUIRE(file.good());
        const std::string text(std::istreambuf_iterator<char>(file), {});
        const std::regex metric("\\b(db|pgsteady)_[a-z_]+");
        std::set<std::string> named;
        for (auto at = std::sregex_iterator(text.begin(), text.end(), metric); at != std::sregex_iterator(); ++at) {
            std::string found = at->str();
            if (found.ends_with("_bucket")) found.erase(found.size() - 7);
            CHECK_MESSAGE(known.contains(found), name << ": " << found);
            named.insert(found);
        }
        CHECK(named.size() >= static_cast<std::size_t>(least));
    }
}
