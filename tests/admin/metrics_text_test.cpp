// The Prometheus page: names that were promised, and a format that scrapers take.
#include "admin/metrics_text.hpp"

#include "tests/admin/admin_support.hpp"

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

}  // namespace

TEST_CASE("Metrics of the old systems keep their names, labels and values") {
    const std::string text = metrics_text(sample_observation());
    for (const char* line : {
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
             R"(pgsteady_build_info{version="1.2.3"} 1)",
             R"(pgsteady_mode{mode="normal"} 1)",
             R"(pgsteady_pool_overflow{pool="app/alice"} 2)",
             R"(pgsteady_backend_up{backend="db2:5432"} 0)",
         })
        CHECK_MESSAGE(has_line(text, line), line);
}

TEST_CASE("Every family has help, a type and a name by the rules, once") {
    const auto families = metric_families(sample_observation());
    std::set<std::string> seen;
    for (const auto& family : families) {
        INFO(family.name);
        CHECK(seen.insert(family.name).second);
        CHECK(std::regex_match(family.name, std::regex("(db|pgsteady)_[a-z][a-z_]*")));
        CHECK(family.help.ends_with('.'));
        CHECK((family.type == prometheus::MetricType::Counter) == family.name.ends_with("_total"));
        CHECK_FALSE(family.metric.empty());
        std::set<std::vector<prometheus::ClientMetric::Label>> label_sets;
        for (const auto& sample : family.metric) CHECK(label_sets.insert(sample.label).second);
    }
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

TEST_CASE("Counters by pool wait until every worker has answered, so that they never seem to restart") {
    observation seen = sample_observation();
    CHECK(metrics_text(seen).find("pgsteady_pool_checkouts_total{") != std::string::npos);
    seen.now.workers[1].answered = false;
    CHECK(metrics_text(seen).find("pgsteady_pool_checkouts_total{") == std::string::npos);
    CHECK(metrics_text(seen).find("db_connections_active{") != std::string::npos);
}

TEST_CASE("Every metric that the rule file names exists") {
    std::ifstream file(std::string(PGSTEADY_SOURCE_DIR) + "/deploy/prometheus-alerts.yaml");
    REQUIRE(file.good());
    const std::string rules(std::istreambuf_iterator<char>(file), {});
    observation seen = sample_observation();
    seen.now.backends[0].lag_seconds = 1;
    std::set<std::string> known;
    for (const auto& family : metric_families(seen)) known.insert(family.name);
    const std::regex name("\\b(db|pgsteady)_[a-z_]+");
    std::size_t found = 0;
    for (auto at = std::sregex_iterator(rules.begin(), rules.end(), name); at != std::sregex_iterator(); ++at, ++found)
        CHECK_MESSAGE(known.contains(at->str()), at->str());
    CHECK(found >= 6);
}
