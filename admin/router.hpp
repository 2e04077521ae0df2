// router: finds the route of a request, and what stands between the two: Host, path, method, Origin, role.
// It answers from the head of a request whether its body is worth reading. No sockets; owned by the server.
#pragma once

#include "config/print.hpp"

#include "admin/access.hpp"
#include "admin/alerts.hpp"
#include "admin/chronicle.hpp"
#include "admin/commands.hpp"
#include "admin/event_feed.hpp"
#include "admin/http_message.hpp"
#include "admin/observer.hpp"

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsteady::admin {

/// What all handlers work with. Outlives the router.
struct route_tools {
    observer& watch;
    const alerts& alarm;
    chronicle& past;
    event_feed& feed;
    const commands& run;
    const std::function<std::vector<config::effective_value>()>& configuration;
};

/// What a handler may use.
struct route_context : route_tools {
    std::span<const struct route> table;
    role has = role::nobody;  ///< what the caller may do; at least what the route needs
    std::string name{};       ///< decoded: what stands in the path for {…}
};

/// One line of the table in routes.cpp. HEAD is answered wherever GET is.
struct route {
    std::string_view method;
    std::string_view path;  ///< may hold one {name}: anything but nothing
    role needs;
    reply (*handle)(const request&, const route_context&);
    std::string_view summary;    ///< for people
    std::string_view answers{};  ///< the schema of its document (page/schemas.json), or a media type
    std::string_view takes{};    ///< the schema of its body; empty: an empty object
    std::string_view query{};    ///< names of query parameters, each described under "parameters" of that file
};

/// What a failure inside is answered with; it tells nothing.
[[nodiscard]] response failure_answer();

class router {
public:
    router(std::span<const route> table, access_rules rules, const route_tools& tools)
        : table_(table), rules_(std::move(rules)), tools_(tools) {}

    void set_rules(access_rules rules) { rules_ = std::move(rules); }

    /// The refusal that the head of a request deserves, if any.
    [[nodiscard]] std::optional<response> refusal(const request& head) const;

    /// The answer to a request that was not refused. A handler that throws is a 500 that tells nothing; `problem` says
    /// more, for the log.
    [[nodiscard]] reply answer(const request& from, std::string& problem) const;

private:
    [[nodiscard]] const route* find(const request& head, std::string_view& name) const;
    [[nodiscard]] std::string methods_of(std::string_view path) const;

    std::span<const route> table_;
    access_rules rules_;
    route_tools tools_;
};

}  // namespace pgsteady::admin
