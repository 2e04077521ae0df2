#include "admin/event_feed.hpp"

#include "admin/json_text.hpp"
#include "admin/past_documents.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <algorithm>

namespace pgsteady::admin {
namespace {

constexpr std::string_view reconnect_after = "retry: 2000\n\n";

}  // namespace

live_body::chunk event_feed::frame(std::string_view name, const boost::json::object& data,
                                   std::optional<std::uint64_t> id) {
    std::string text = id ? fmt::format("id: {}\n", *id) : std::string();
    text += fmt::format("event: {}\ndata: ", name);
    text += json_line(data);
    text += "\n\n";
    return std::make_shared<const std::string>(std::move(text));
}

bool event_feed::heard() {
    std::erase_if(listeners_, [](const listener& each) {
        const auto body = each.body.lock();
        return !body || body->ended();
    });
    return !listeners_.empty();
}

std::shared_ptr<live_body> event_feed::subscribe(const boost::json::object& whole, const journal& past,
                                                 std::optional<std::uint64_t> after, bool pictures) {
    const bool first = !heard();
    if (listeners_.size() >= limits_.listeners) {
        ++refused_;
        return nullptr;
    }
    auto made = std::make_shared<live_body>(limits_.bytes);
    std::string beginning(reconnect_after);
    if (pictures) beginning += *frame("dashboard", whole);
    if (after)
        for (const journal_entry& each : past.entries())
            if (each.id > *after) beginning += *frame("event", entry_document(each), each.id);
    made->put(std::make_shared<const std::string>(std::move(beginning)));
    listeners_.push_back({made, pictures});
    if (first && wake_) wake_();
    return made;
}

void event_feed::put(const live_body::chunk& chunk, bool only_pictures) {
    for (const listener& each : listeners_)
        if (const auto body = each.body.lock(); body && (each.pictures || !only_pictures)) body->put(chunk);
}

void event_feed::tell(const journal_entry& entry) {
    if (heard()) put(frame("event", entry_document(entry), entry.id), false);
}

void event_feed::tell(const moment& completed) {
    if (heard()) put(frame("moment", moment_document(completed)), true);
}

void event_feed::show(const std::function<boost::json::object()>& picture) {
    if (!heard()) return;
    live_body::chunk shown;
    const auto comment = std::make_shared<const std::string>(":\n\n");
    for (const listener& each : listeners_) {
        const auto body = each.body.lock();
        if (!body) continue;
        if (each.pictures && !shown) shown = frame("snapshot", picture());
        body->show(each.pictures ? shown : comment);
    }
}

void event_feed::end() {
    for (const listener& each : listeners_)
        if (const auto body = each.body.lock()) body->end();
    listeners_.clear();
}

}  // namespace pgsteady::admin
