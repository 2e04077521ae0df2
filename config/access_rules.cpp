// See access_rules.hpp.
#include "config/access_rules.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <regex>

namespace pgsteady::config {
namespace {

constexpr std::size_t longest_common_name = 64;  // RFC 5280; a pattern looks at no more

bool fits_connection(const hba_rule& rule, const entrant& who) {
    switch (rule.by) {
        case hba_rule::connection::local: return who.by_unix_socket;
        case hba_rule::connection::host: return !who.by_unix_socket;
        case hba_rule::connection::hostssl: return !who.by_unix_socket && who.with_tls;
        case hba_rule::connection::hostnossl: return !who.by_unix_socket && !who.with_tls;
    }
    return false;
}

bool fits_address(const hba_rule& rule, const entrant& who) {
    if (rule.by == hba_rule::connection::local || rule.any_address) return true;
    if (who.address.size() != rule.network.size()) return false;
    for (std::uint32_t bit = 0; bit < rule.prefix; ++bit)
        if (((who.address[bit / 8] ^ rule.network[bit / 8]) & (0x80U >> (bit % 8))) != 0) return false;
    return true;
}

bool fits_name(const hba_name& name, std::string_view own) {
    return (!name.quoted && name.text == "all") || name.text == own;
}

bool fits_database(const hba_rule& rule, const entrant& who) {
    return std::ranges::any_of(rule.databases, [&](const hba_name& each) {
        if (!each.quoted && each.text == "replication") return who.replicates;
        if (who.replicates) return false;
        if (!each.quoted && each.text == "sameuser") return who.database == who.user;
        return fits_name(each, who.database);
    });
}

bool fits_user(const hba_rule& rule, const entrant& who) {
    return std::ranges::any_of(rule.users, [&](const hba_name& each) { return fits_name(each, who.user); });
}

/// The user that this line makes of the owner of a certificate; nothing: it is not about that one.
std::optional<std::string> user_of(const ident_line& line, const std::string& common_name) {
    if (!line.certified.starts_with('/'))
        return line.certified == common_name ? std::optional(line.user) : std::nullopt;
    std::smatch found;
    try {
        if (!std::regex_search(common_name, found, std::regex(line.certified.substr(1)))) return std::nullopt;
    } catch (const std::regex_error&) {  // too much work for one name: then it is nobody's
        return std::nullopt;
    }
    std::string user = line.user;
    if (const auto at = user.find("\\1"); at != std::string::npos) {
        if (found.size() < 2) return std::nullopt;
        user.replace(at, 2, found[1].str());
    }
    return user;
}

}  // namespace

const hba_rule* rule_for(std::span<const hba_rule> rules, const entrant& who) {
    const auto at = std::ranges::find_if(rules, [&](const hba_rule& each) {
        return fits_connection(each, who) && fits_address(each, who) && fits_database(each, who) &&
               fits_user(each, who);
    });
    return at == rules.end() ? nullptr : &*at;
}

bool may_be(std::span<const ident_line> lines, std::string_view map, std::string_view common_name,
            std::string_view user) {
    if (common_name.empty() || common_name.size() > longest_common_name) return false;
    const std::string name(common_name);
    return std::ranges::any_of(lines, [&](const ident_line& each) {
        // Patterns are compiled here, on a hot thread: only those that could lead to this user.
        const bool may_lead = each.user == user || each.user == "all" || each.user.find("\\1") != std::string::npos;
        if (each.map != map || !may_lead) return false;
        const std::optional<std::string> is = user_of(each, name);
        return is && (*is == user || each.user == "all");
    });
}

std::vector<std::uint8_t> network_bytes(const std::string& address) {
    std::array<std::uint8_t, 16> bytes{};
    const std::string text = address.substr(0, address.find('%'));
    if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return {bytes.begin(), bytes.begin() + 4};
    if (inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) return {};
    constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (std::equal(mapped.begin(), mapped.end(), bytes.begin())) return {bytes.begin() + 12, bytes.end()};
    return {bytes.begin(), bytes.end()};
}

std::vector<std::uint8_t> peer_bytes(std::string_view peer) {
    const auto colon = peer.rfind(':');
    if (colon == std::string_view::npos) return {};
    std::string_view address = peer.substr(0, colon);
    if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
    return network_bytes(std::string(address));
}

std::string problem_of_pattern(const std::string& certified) {
    if (!certified.starts_with('/')) return {};
    try {
        const std::regex compiled(certified.substr(1));
        return {};
    } catch (const std::regex_error& bad) {
        return certified + " is no regular expression: " + bad.what();
    }
}

bool is_for_loopback(const hba_rule& rule) {
    if (rule.by == hba_rule::connection::local) return true;
    if (rule.network.size() == 4) return rule.prefix >= 8 && rule.network.front() == 127;
    const std::vector<std::uint8_t> loopback = network_bytes("::1");
    return rule.network == loopback && rule.prefix == 128;
}

}  // namespace pgsteady::config
