// Who may do what on the admin port (product.md section 6, D36): Host, Origin and tokens.
// Pure; never logs or answers a token, and compares them in a time that does not depend on what they hold.
#pragma once

#include "config/config.hpp"

#include "admin/http_message.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace pgsteady::admin {

/// What a route demands and a caller has. Each includes those before it.
enum class role : std::uint8_t { nobody, read, operate };

struct caller {
    role has = role::nobody;
    bool showed_token = false;  ///< and it was a right one
};

class access_rules {
public:
    explicit access_rules(const config::admin_settings& settings);

    /// Why this port must not be opened; empty: it may.
    [[nodiscard]] std::string refusal_to_open() const;

    /// Against DNS rebinding: a page of another site can make a browser speak to loopback, but not under a name that
    /// loopback has. On other addresses every request needs a token, which such a page does not have.
    [[nodiscard]] bool host_allowed(const request& from) const;

    /// A browser says where a request that changes something comes from; only our own page may (other clients
    /// say nothing).
    [[nodiscard]] static bool origin_allowed(const request& from);

    /// Reading is open on loopback when there is no read token. A wrong token is no token.
    [[nodiscard]] caller caller_of(const request& from) const;

    /// For the problem's text: whether any caller could ever have the role.
    [[nodiscard]] bool attainable(role needed) const;

private:
    bool loopback_;
    std::string host_;
    std::string operate_token_;
    std::string read_token_;
};

/// Compares in a time that depends on the length of `given` alone. False when `expected` is empty.
[[nodiscard]] bool same_secret(std::string_view expected, std::string_view given);

}  // namespace pgsteady::admin
