// A new process takes the place of an old one without a refused connection: it is handed the listening sockets, says when it
// accepts, and then the old one stops accepting and serves those it has until they leave. Cancel requests for these
// arrive at the new one, and are passed back. Both ends are here; listen.takeover_socket names where they meet.
// A successor that fails before it is ready has changed nothing. Only processes of the same user are heard.
#pragma once

#include "proxy/net/descriptor_mail.hpp"
#include "proxy/net/inherited_sockets.hpp"
#include "proxy/net/unique_fd.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace pgsteady {

/// Of the process that may be replaced. A thread waits for whoever comes.
class takeover_door {
public:
    /// Called on that thread.
    struct hooks {
        /// The successor accepts: stop doing so. Once.
        std::function<void(std::int64_t successor)> replaced;
        /// A cancel request that the successor cannot place.
        std::function<void(std::int32_t pid, std::string key)> cancel;
        /// The successor has ended without a successor of its own: nobody accepts any more. Once.
        std::function<void()> deserted;
    };
    takeover_door() = default;
    ~takeover_door() { close(); }
    takeover_door(const takeover_door&) = delete;
    takeover_door& operator=(const takeover_door&) = delete;

    /// What went wrong, or empty. `sockets`: what a successor gets copies of.
    [[nodiscard]] std::string open(const std::string& path, std::vector<net::unique_fd> sockets, hooks to);
    /// Nobody takes over any more. Idempotent; not from a hook.
    void close();

private:
    void run();
    [[nodiscard]] bool hand_over(int peer);
    void serve_successor(int peer);
    [[nodiscard]] std::optional<net::mail> heard(int peer, std::chrono::milliseconds limit) const;
    [[nodiscard]] bool readable(int fd, std::chrono::milliseconds limit) const;

    std::string path_;
    hooks hooks_;
    std::vector<net::unique_fd> sockets_;
    net::unique_fd listening_;
    net::unique_fd stop_;  // an eventfd
    std::thread thread_;
};

/// Of the process that comes: the one before it, if there is one.
class predecessor {
public:
    /// What went wrong, or empty; also where nobody is to be replaced. Waits for it, 5 s at most.
    [[nodiscard]] std::string ask(const std::string& path, net::inherited_sockets& into);
    [[nodiscard]] bool present() const { return static_cast<bool>(connection_); }
    /// This process accepts clients now. False: the other one is not heard of any more; it may have gone.
    [[nodiscard]] bool replace();
    /// A request that none of this process's clients can be meant by. Thread-safe; never waits.
    void cancel(std::int32_t pid, const std::string& key);
    /// This process has itself been replaced: its end is none of those that matter to the one before it. Thread-safe.
    void tell_of_successor();

private:
    void tell(std::string_view text);

    net::unique_fd connection_;
    std::mutex sending_;
};

}  // namespace pgsteady
