// Who listens to what through one shared listening connection, and what that connection has yet to be told (D18, P22).
// Decides; never touches a socket or a clock. One statement string is under way at a time: its answer stands behind every
// notification that was committed before it was asked for, so it is what clients wait for. Not thread-safe; owned by the
// shared_listener of one pool on one worker.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace pgsteady {

class channel_registry {
public:
    using listener = std::uint64_t;  ///< the serial of a client
    using listeners = std::vector<listener>;
    using time_point = std::chrono::steady_clock::time_point;

    /// These, and no others, are the channels of this client from now on.
    void follow(listener who, const std::set<std::string>& channels);
    /// The client has left.
    void forget(listener who);
    /// It waits until the server has all its channels and has said what was committed before now. A later call replaces.
    /// `new_channel`: it is one that the client has not been told of yet, so it waits for as long as there is no server;
    /// else there is nothing to wait for without one.
    void await(listener who, bool new_channel, time_point now);

    /// Somebody listens, or has yet to be answered: a connection is wanted.
    [[nodiscard]] bool wants_server() const { return !of_client_.empty() || !waits_.empty(); }
    /// What is to be sent now; may be an empty statement. Nothing: all is said, or an answer is still owed.
    [[nodiscard]] std::optional<std::string> next_query();
    [[nodiscard]] bool asked() const { return asked_; }

    struct round {
        listeners served;  ///< those who waited for it
        listeners gap;     ///< those who listen again after a connection was lost: notifications may be missing
    };
    /// What was asked has been answered, without an error.
    [[nodiscard]] round answered();
    /// The connection has ended, or will be ended. Returns who waits for nothing any more.
    [[nodiscard]] listeners lost();
    /// Those who have waited since before `limit`; they do not any more.
    [[nodiscard]] listeners overdue(time_point limit);

    /// Valid until the next change.
    [[nodiscard]] const std::set<listener>& who_hears(const std::string& name) const;
    [[nodiscard]] std::size_t clients() const { return of_client_.size(); }
    [[nodiscard]] std::size_t channels() const { return channels_.size(); }

private:
    enum class state : std::uint8_t { wanted, asked, listening, leaving };
    struct channel {
        std::set<listener> members;
        state now = state::wanted;
    };
    struct wait {
        listener who;
        bool new_channel;
        bool sent;
        time_point since;
    };
    using channel_map = std::map<std::string, channel, std::less<>>;

    void leave(listener who, const std::string& name);
    [[nodiscard]] bool is_asked_for(listener who) const;

    channel_map channels_;  // with no member: it is to be given up, or about to be
    std::map<listener, std::set<std::string>> of_client_;
    std::vector<wait> waits_;
    std::set<listener> interrupted_;
    bool asked_ = false;
};

}  // namespace pgsteady
