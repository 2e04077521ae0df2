// event_feed: who listens to /api/v1/events, and the text/event-stream frames that they are sent.
// Nothing is made while nobody listens; listeners and what waits for each are bounded. Lives on the admin thread.
#pragma once

#include "admin/chronicle.hpp"
#include "admin/live_body.hpp"

#include <boost/json/object.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace pgsteady::admin {

class event_feed {
public:
    struct limits {
        std::size_t listeners = 32;
        std::size_t bytes = 256 * 1024;  ///< that may wait for one of them
    };

    explicit event_feed(const limits& most) : limits_(most) {}
    /// For those who come from now on.
    void set_limits(const limits& most) { limits_ = most; }

    /// Called when the first one has come: pictures are wanted from now on.
    void on_first(std::function<void()> wake) { wake_ = std::move(wake); }

    /// A new listener, or nothing when there are too many. It begins with `whole` and the entries after `after`.
    /// `pictures`: whether it wants to see more than what happened.
    [[nodiscard]] std::shared_ptr<live_body> subscribe(const boost::json::object& whole, const journal& past,
                                                       std::optional<std::uint64_t> after, bool pictures);

    void tell(const journal_entry& entry);
    void tell(const moment& completed);
    /// How things are now, to those that want to see it; a comment to the others, so that they notice when we are gone.
    void show(const std::function<boost::json::object()>& picture);

    /// Whether anybody is there.
    [[nodiscard]] bool heard();
    [[nodiscard]] std::size_t listening() { return heard() ? listeners_.size() : 0; }
    [[nodiscard]] std::uint64_t refused() const { return refused_; }
    void end();

private:
    struct listener {
        std::weak_ptr<live_body> body;
        bool pictures = true;
    };
    [[nodiscard]] static live_body::chunk frame(std::string_view name, const boost::json::object& data,
                                                std::optional<std::uint64_t> id = std::nullopt);
    void put(const live_body::chunk& chunk, bool only_pictures);

    limits limits_;
    std::vector<listener> listeners_;
    std::function<void()> wake_;
    std::uint64_t refused_ = 0;
};

}  // namespace pgsteady::admin
