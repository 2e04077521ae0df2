// A request and an answer as the routes see them: plain values, no sockets, no HTTP library.
// Everything in a request is hostile; views point into the connection's parser and live as long as one exchange.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pgsteady::admin {

class live_body;

struct request {
    std::string_view method;
    std::string_view target;  ///< as sent: path and query
    bool http_1_0 = false;
    std::vector<std::string_view> hosts;  ///< every Host header: more than one is an attack
    std::string_view origin;
    std::string_view fetch_site;  ///< Sec-Fetch-Site
    std::string_view authorization;
    std::string_view last_event_id{};
    std::string_view content_type;
    std::string_view accept;
    std::string_view body;  ///< empty until it was read
    std::string peer;

    [[nodiscard]] std::string_view path() const { return target.substr(0, target.find('?')); }
    /// The decoded value of a query parameter, the first one of that name.
    [[nodiscard]] std::optional<std::string> parameter(std::string_view name) const;
};

struct response {
    unsigned status = 200;
    std::string content_type = "text/plain; charset=utf-8";
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers{};  ///< beyond those that every answer has
    std::string audit{};                                         ///< what was changed, for the log; empty: nothing
    std::shared_ptr<live_body> live{};                           ///< instead of `body`: goes on until one side ends it
};

/// Work that may take seconds, and what is answered when it is done. Must not hold views of the request.
struct slow_work {
    std::function<void()> work;        ///< on the thread of slow commands
    std::function<response()> finish;  ///< on the admin thread
};

using reply = std::variant<response, slow_work>;

/// Whether a client that says what it accepts (RFC 9110 12.5.1) names this type itself; "*/*" is no wish.
[[nodiscard]] bool asks_for(const request& from, std::string_view media_type);

[[nodiscard]] response text_answer(unsigned status, std::string body);
/// RFC 9457. `detail` says what to do about it, in one sentence, and never repeats what the client sent.
[[nodiscard]] response problem_answer(unsigned status, std::string_view detail);

}  // namespace pgsteady::admin
