#include "admin/router.hpp"

#include <exception>
#include <string>

namespace pgsteady::admin {
namespace {

[[nodiscard]] bool only_reads(std::string_view method) { return method == "GET" || method == "HEAD"; }

[[nodiscard]] response no_token() {
    response result = problem_answer(401, "send Authorization: Bearer with the token of this role");
    result.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"pgsteady\"");
    return result;
}

[[nodiscard]] response wrong_method(std::string allowed) {
    response result = problem_answer(405, "this path answers to: " + allowed);
    result.headers.emplace_back("Allow", std::move(allowed));
    return result;
}

}  // namespace

const route* router::find(const request& head) const {
    const std::string_view method = head.method == "HEAD" ? "GET" : head.method;
    for (const route& each : table_)
        if (each.path == head.path() && each.method == method) return &each;
    return nullptr;
}

std::string router::methods_of(std::string_view path) const {
    std::string result;
    for (const route& each : table_) {
        if (each.path != path) continue;
        if (!result.empty()) result += ", ";
        result += each.method;
        if (each.method == "GET") result += ", HEAD";
    }
    return result;
}

std::optional<response> router::refusal(const request& head) const {
    if (!rules_.host_allowed(head))
        return problem_answer(403, "the Host header names another site; use the address that the port is bound to");
    const route* found = find(head);
    if (found == nullptr) {
        std::string allowed = methods_of(head.path());
        return allowed.empty() ? problem_answer(404, "no such path; / lists them") : wrong_method(std::move(allowed));
    }
    if (!only_reads(head.method) && !access_rules::origin_allowed(head))
        return problem_answer(403, "a page of another origin may not change anything");
    const caller who = rules_.caller_of(head);
    if (who.has >= found->needs) return std::nullopt;
    if (!rules_.attainable(found->needs)) return problem_answer(403, "set admin.operate_token to allow this");
    return who.showed_token ? problem_answer(403, "this needs the operate token") : no_token();
}

response router::answer(const request& from, std::string& problem) const {
    const route* found = find(from);
    if (found == nullptr) return problem_answer(404, "no such path; / lists them");
    try {
        return found->handle(from, {watch_, table_});
    } catch (const std::exception& error) {
        problem = error.what();
    } catch (...) {
        problem = "an unknown exception";
    }
    return problem_answer(500, "something failed inside; the log says more");
}

}  // namespace pgsteady::admin
