#include "admin/access.hpp"

#include <algorithm>

namespace pgsteady::admin {
namespace {

[[nodiscard]] char lower(char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter;
}

[[nodiscard]] std::string lowered(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(), lower);
    return result;
}

[[nodiscard]] bool is_digits(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char each) { return each >= '0' && each <= '9'; });
}

[[nodiscard]] bool is_name(std::string_view text) {
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyz0123456789-._";
    return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

[[nodiscard]] bool is_ipv6(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789abcdef:.") == std::string_view::npos;
}

/// The name of a Host header in small letters, without brackets and port; empty when it is malformed.
[[nodiscard]] std::string host_name(std::string_view header) {
    const std::string all = lowered(header);
    std::string_view name = all;
    std::string_view port;
    const bool bracketed = name.starts_with('[');
    const std::size_t end = bracketed ? name.find(']') : name.find(':');
    if (bracketed) {
        if (end == std::string_view::npos) return {};
        port = name.substr(end + 1);
        name = name.substr(1, end - 1);
    } else if (end != std::string_view::npos) {
        port = name.substr(end);
        name = name.substr(0, end);
    }
    if (!port.empty() && (port.front() != ':' || !is_digits(port.substr(1)))) return {};
    return (bracketed ? is_ipv6(name) : is_name(name)) ? std::string(name) : std::string();
}

/// The token of `Authorization: Bearer …` (RFC 6750); empty when there is none.
[[nodiscard]] std::string_view bearer_token(std::string_view authorization) {
    constexpr std::string_view scheme = "bearer ";
    if (authorization.size() < scheme.size() || lowered(authorization.substr(0, scheme.size())) != scheme) return {};
    authorization.remove_prefix(scheme.size());
    const std::size_t start = std::min(authorization.find_first_not_of(' '), authorization.size());
    return authorization.substr(start);
}

}  // namespace

bool same_secret(std::string_view expected, std::string_view given) {
    if (expected.empty()) return false;
    volatile unsigned difference = expected.size() == given.size() ? 0 : 1;
    for (std::size_t at = 0; at < given.size(); ++at)
        difference = difference | static_cast<unsigned char>(given[at] ^ expected[at % expected.size()]);
    return difference == 0;
}

access_rules::access_rules(const config::admin_settings& settings)
    : loopback_(config::is_loopback(settings.host)),
      host_(lowered(settings.host)),
      operate_token_(settings.operate_token),
      read_token_(settings.read_token) {}

std::string access_rules::refusal_to_open() const {
    if (loopback_ || !operate_token_.empty() || !read_token_.empty()) return {};
    return "admin.host is open to other machines, but there is no token";
}

bool access_rules::host_allowed(const request& from) const {
    if (from.hosts.empty()) return from.http_1_0;  // health checks of load balancers; no browser speaks HTTP/1.0
    if (from.hosts.size() > 1) return false;
    const std::string name = host_name(from.hosts.front());
    if (name.empty()) return false;
    return !loopback_ || name == host_ || config::is_loopback(name);
}

bool access_rules::origin_allowed(const request& from) {
    if (!from.fetch_site.empty() && from.fetch_site != "same-origin" && from.fetch_site != "none") return false;
    if (from.origin.empty()) return true;
    if (from.hosts.size() != 1) return false;
    const std::string origin = lowered(from.origin);
    const std::string host = lowered(from.hosts.front());
    return origin == "http://" + host || origin == "https://" + host;
}

caller access_rules::caller_of(const request& from) const {
    const std::string_view token = bearer_token(from.authorization);
    // Both are compared whatever the first one says.
    const bool operates = same_secret(operate_token_, token);
    const bool reads = same_secret(read_token_, token);
    if (operates) return {role::operate, true};
    if (reads) return {role::read, true};
    return {loopback_ && read_token_.empty() ? role::read : role::nobody, false};
}

bool access_rules::attainable(role needed) const { return needed != role::operate || !operate_token_.empty(); }

}  // namespace pgsteady::admin
