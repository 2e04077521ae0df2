// Splits the URL by RFC 3986 as libpq does: scheme, authority with a list of hosts, path, parameters.
#include "config/database_url.hpp"

#include <algorithm>
#include <array>

namespace pgsteady::config {
namespace {

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::optional<std::string> percent_decode(std::string_view text) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            decoded += text[i];
            continue;
        }
        if (i + 2 >= text.size() || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0) return std::nullopt;
        decoded += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
        i += 2;
    }
    return decoded;
}

struct parameter {
    std::string_view name;
    std::string_view path;
};
constexpr std::array parameters{
    parameter{"host", "backends.hosts"},
    parameter{"port", "backends.port"},
    parameter{"user", "backends.user"},
    parameter{"password", "backends.password"},
    parameter{"dbname", "backends.database"},
    parameter{"sslmode", "backends.tls.sslmode"},
    parameter{"ssl", "backends.tls.sslmode"},  // asyncpg's word
    parameter{"sslnegotiation", "backends.tls.negotiation"},
    parameter{"sslrootcert", "backends.tls.ca_file"},
    parameter{"sslcert", "backends.tls.cert_file"},
    parameter{"sslkey", "backends.tls.key_file"},
    parameter{"connect_timeout", "connect.timeout"},
};

/// Takes what stands before `mark` off the front of `text`; without a mark, everything.
std::string_view take_until(std::string_view& text, char mark) {
    const auto at = std::min(text.find(mark), text.size());
    const auto taken = text.substr(0, at);
    text.remove_prefix(std::min(at + 1, text.size()));
    return taken;
}

class url_parser {
public:
    database_url parse(std::string_view url) {
        if (!strip_scheme(url)) {
            fail("not a PostgreSQL URL", "write postgresql://user:password@host:port/database");
            return std::move(result_);
        }
        std::string_view query;
        if (const auto mark = url.find('?'); mark != std::string_view::npos) {
            query = url.substr(mark + 1);
            url = url.substr(0, mark);
        }
        std::string_view authority = take_until(url, '/');
        if (const auto at = authority.rfind('@'); at != std::string_view::npos) {
            std::string_view user = authority.substr(0, at);
            authority.remove_prefix(at + 1);
            set("backends.user", take_until(user, ':'));
            set("backends.password", user);
        } else if (url.find('@') != std::string_view::npos) {
            fail_unencoded();
        }
        set("backends.hosts", authority);
        set("backends.database", url);
        while (!query.empty()) read_parameter(take_until(query, '&'));
        return std::move(result_);
    }

private:
    static bool strip_scheme(std::string_view& url) {
        const auto mark = url.find("://");
        if (mark == std::string_view::npos) return false;
        const auto scheme = url.substr(0, mark);
        url.remove_prefix(mark + 3);
        const auto base = scheme.substr(0, scheme.find('+'));
        return base == "postgresql" || base == "postgres";
    }

    void read_parameter(std::string_view text) {
        const auto name = take_until(text, '=');
        const auto* const known = std::ranges::find(parameters, name, &parameter::name);
        if (known == parameters.end()) {
            // Anything but a word may be the rest of a password that was not encoded: never repeat it.
            if (name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") != std::string_view::npos || name.size() > 40)
                fail_unencoded();
            else if (!name.empty()) result_.ignored.emplace_back(name);
        } else if (name == "ssl" && text == "true") {
            set(known->path, "require");
        } else {
            set(known->path, text);
        }
    }

    /// A later value replaces an earlier one, as in libpq.
    void set(std::string_view path, std::string_view encoded) {
        if (encoded.empty()) return;
        auto decoded = percent_decode(encoded);
        if (!decoded) {
            fail("contains a % that is not followed by two hexadecimal digits", "write % itself as %25");
            return;
        }
        const auto found = std::ranges::find(result_.values, path, [](const auto& value) { return value.first; });
        if (found != result_.values.end()) found->second = std::move(*decoded);
        else result_.values.emplace_back(path, std::move(*decoded));
    }

    void fail_unencoded() {
        fail("cannot be split", "write special characters of user and password encoded: / as %2F, ? as %3F, @ as %40");
    }

    void fail(std::string message, std::string suggestion) {
        if (!result_.problem) result_.problem = {std::move(message), std::move(suggestion)};
    }

    database_url result_;
};

}  // namespace

const std::string* database_url::find(std::string_view path) const {
    const auto found = std::ranges::find(values, path, [](const auto& value) { return value.first; });
    return found == values.end() ? nullptr : &found->second;
}

database_url parse_database_url(std::string_view url) { return url_parser{}.parse(url); }

}  // namespace pgsteady::config
