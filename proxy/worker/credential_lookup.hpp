// auth.query: asks servers what they have stored of a role's password, so that users need not be listed here (D38). Answers
// from a bounded cache at once, else on the helper's thread: one connection per cluster, one question at a time, one per user
// however many wait for it. Must never use the client's database or anything of its StartupMessage but its name, as a bound
// value (P4); never sign in anybody as auth.query.user (P6); never treat a name that does not exist in another way than
// one that does (P13); never log a secret. Owned by proxy_state.
#pragma once

#include "config/config.hpp"

#include "proxy/worker/role_cache.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace pgsteady {

class lookup_line;
class proxy_state;

struct role_answer {
    role_cache::secret_ptr secret;  ///< null: nobody could be asked; `problem` says why
    bool remembered = false;        ///< it was known from before
    std::string problem{};          ///< for the log alone
};

class credential_lookup {
public:
    using callback = std::function<void(const role_answer&)>;

    explicit credential_lookup(proxy_state& state);
    /// Stops the helper first: what is here lives on its thread.
    ~credential_lookup();
    credential_lookup(const credential_lookup&) = delete;
    credential_lookup& operator=(const credential_lookup&) = delete;

    /// Thread-safe. What is known there of `user`: at once if it is known, else `done` is called later on the helper's
    /// thread, at the latest after pool.hold_timeout.
    [[nodiscard]] std::optional<role_answer> ask(const lookup_place& where, const std::string& user, callback done);
    /// Thread-safe. The sign-in with this remembered answer has failed: the next one asks.
    void suspect(const lookup_place& where, const std::string& user, const role_cache::secret_ptr& which);
    /// Thread-safe. After other settings have come into force.
    void follow_settings();

    struct status {
        std::uint64_t found = 0;        ///< questions that a server answered
        std::uint64_t unknown = 0;      ///< no such role, or one without password
        std::uint64_t failed = 0;       ///< sign-ins for which nobody could be asked
        std::uint64_t remembered = 0;   ///< sign-ins that needed no question
        std::uint64_t kept = 0;         ///< sign-ins by what was known last, since nobody could be asked
        std::size_t known_roles = 0;    ///< remembered
        std::size_t unknown_names = 0;  ///< likewise
    };
    [[nodiscard]] status now() const;

private:
    friend class lookup_line;

    // For lines, on the helper's thread.
    [[nodiscard]] role_cache::secret_ptr remembered(const std::string& key);
    [[nodiscard]] role_cache::secret_ptr known_last(const std::string& key) const;
    void remember(const std::string& key, role_cache::secret_ptr secret);

    proxy_state& state_;
    mutable std::mutex mutex_;
    role_cache cache_;                                           // guarded by mutex_
    config::auth_query_settings rules_;                          // likewise
    std::map<std::string, config::auth_query_settings> others_;  // likewise: of databases that ask otherwise
    std::map<std::string, std::unique_ptr<lookup_line>> lines_;  // by place; the helper's thread alone
    std::atomic<std::uint64_t> found_{0};
    std::atomic<std::uint64_t> unknown_{0};
    std::atomic<std::uint64_t> failed_{0};
    std::atomic<std::uint64_t> remembered_{0};
    std::atomic<std::uint64_t> kept_{0};
};

}  // namespace pgsteady
