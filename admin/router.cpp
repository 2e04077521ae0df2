#include "admin/router.hpp"

#include "admin/printable.hpp"

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

/// Whether a path is that of a route; `name` becomes the raw text that stands for its {…}.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view path, std::string_view& name) {
    const std::size_t open = pattern.find('{');
    if (open == std::string_view::npos) return pattern == path;
    const std::string_view before = pattern.substr(0, open);
    const std::string_view after = pattern.substr(pattern.find('}') + 1);
    if (path.size() <= before.size() + after.size() || !path.starts_with(before) || !path.ends_with(after))
        return false;
    name = path.substr(before.size(), path.size() - before.size() - after.size());
    return true;
}

}  // namespace

const route* router::find(const request& head, std::string_view& name) const {
    const std::string_view method = head.method == "HEAD" ? "GET" : head.method;
    for (const route& each : table_)
        if (each.method == method && matches(each.path, head.path(), name)) return &each;
    return nullptr;
}

std::string router::methods_of(std::string_view path) const {
    std::string result;
    for (const route& each : table_) {
        std::string_view name;
        if (!matches(each.path, path, name)) continue;
        if (!result.empty()) result += ", ";
        result += each.method;
        if (each.method == "GET") result += ", HEAD";
    }
    return result;
}

std::optional<response> router::refusal(const request& head) const {
    if (!rules_.host_allowed(head))
        return problem_answer(403, "the Host header names another site; use the address that the port is bound to");
    std::string_view name;
    const route* found = find(head, name);
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

reply router::answer(const request& from, std::string& problem) const {
    std::string_view name;
    const route* found = find(from, name);
    if (found == nullptr) return problem_answer(404, "no such path; / lists them");
    std::optional<std::string> decoded = url_decoded(name);
    if (!decoded) return problem_answer(400, "the path is not well encoded");
    try {
        return found->handle(from, {tools_, table_, rules_.caller_of(from).has, std::move(*decoded)});
    } catch (const std::exception& error) {
        problem = error.what();
    } catch (...) {
        problem = "an unknown exception";
    }
    return failure_answer();
}

response failure_answer() { return problem_answer(500, "something failed inside; the log says more"); }

}  // namespace pgsteady::admin
