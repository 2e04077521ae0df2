#include "admin/http_message.hpp"

#include "admin/json_text.hpp"
#include "admin/printable.hpp"

#include <boost/beast/core/string.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/json.hpp>

#include <algorithm>

namespace pgsteady::admin {

std::optional<std::string> request::parameter(std::string_view name) const {
    const std::size_t mark = target.find('?');
    if (mark == std::string_view::npos) return std::nullopt;
    std::string_view rest = target.substr(mark + 1);
    while (!rest.empty()) {
        const std::string_view pair = rest.substr(0, rest.find('&'));
        rest.remove_prefix(pair.size() == rest.size() ? pair.size() : pair.size() + 1);
        const std::size_t equals = pair.find('=');
        if (url_decoded(pair.substr(0, equals)) != std::string(name)) continue;
        return url_decoded(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1));
    }
    return std::nullopt;
}

bool asks_for(const request& from, std::string_view media_type) {
    std::string_view rest = from.accept;
    while (!rest.empty()) {
        std::string_view each = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(each.size() + 1, rest.size()));
        each = each.substr(0, each.find(';'));
        while (!each.empty() && each.front() == ' ') each.remove_prefix(1);
        while (!each.empty() && each.back() == ' ') each.remove_suffix(1);
        if (boost::beast::iequals({each.data(), each.size()}, {media_type.data(), media_type.size()})) return true;
    }
    return false;
}

response text_answer(unsigned status, std::string body) { return {.status = status, .body = std::move(body)}; }

response problem_answer(unsigned status, std::string_view detail) {
    const auto reason = boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
    boost::json::object document;
    document["type"] = "about:blank";
    document["title"] = boost::json::string(reason.data(), reason.size());
    document["status"] = status;
    document["detail"] = json_string(detail);
    return {.status = status, .content_type = "application/problem+json", .body = json_text(document)};
}

}  // namespace pgsteady::admin
