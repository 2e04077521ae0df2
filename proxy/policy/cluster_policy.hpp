// What is to be believed about a cluster, and what follows: which host is the primary, which standbys may be read, what
// happens to statements meanwhile, and when each host is to be asked again. Findings and reports go in with their time; a
// cluster_view, events and errands come out (recovery.md 2.9, 2.10, 2.12, 2.13; D3, D5, D6, D10, D20, D21, D27, D28).
// It never writes to a lower timeline or another system than it has adopted, and never moves writes while the primary may
// still be taking them. Pure: time and chance are arguments. Owned by watched_cluster, used on its thread alone.
#pragma once

#include "config/config.hpp"

#include "proxy/policy/breaker.hpp"
#include "proxy/policy/cluster_report.hpp"
#include "proxy/policy/cluster_view.hpp"
#include "proxy/policy/host_watch.hpp"
#include "proxy/policy/lineage.hpp"
#include "proxy/policy/service.hpp"
#include "proxy/policy/storage_watch.hpp"
#include "proxy/policy/wal_samples.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

struct cluster_rules {
    config::monitor_settings monitor;
    config::connect_backoff_settings backoff;
    config::breaker_settings breaker;
    config::read_only_settings read_only;
    std::chrono::milliseconds hold_timeout{30'000};  ///< 0: read-only mode does not begin by itself
};

class cluster_policy {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// At the start, so long all hosts are waited for before a primary is chosen or said to be missing.
    static constexpr std::chrono::milliseconds settle_for{500};
    /// So long after a loss its statements' end is nobody's urgency any more, unless somebody waits.
    static constexpr std::chrono::seconds urgent_at_most{60};

    cluster_policy(const std::vector<std::string>& addresses, const cluster_rules& rules, const moment& at);

    // ------------------------------------------------------------------------------- from the monitor's connections

    [[nodiscard]] host_watch& host(std::size_t index) { return hosts_[index]; }
    [[nodiscard]] const host_watch& host(std::size_t index) const { return hosts_[index]; }
    /// The probe has been sent. Use these rather than the host's own: they keep the samples (D28).
    void asked(std::size_t index, const moment& at);
    void answered(std::size_t index, probe_result found, const moment& at);
    /// The connection ended, or could not be opened, which also says who can have served there meanwhile (lineage.hpp).
    void disconnected(std::size_t index, const recovery_verdict& why, std::string words, const moment& at);
    void connect_failed(std::size_t index, const recovery_verdict& why, std::string words, const moment& at);
    /// An errand to try to write: it has begun, it has ended. What it says about the host is told to that besides.
    void trying_to_write(std::size_t index, const moment& at);
    void tried_to_write(std::size_t index, write_attempt how, const moment& at);

    /// The monitor runs: lineage::awake().
    void awake(const moment& at) { lineage_.awake(at.now); }

    // ------------------------------------------------------------------------------- from pools and operators

    void report(const host_report& seen, const moment& at);
    void waiting(unsigned worker, std::size_t statements, const moment& at);
    void hold(bool on);
    /// Asks every host at once. Without a usable primary it also forgets which system and timeline were adopted, if no
    /// host that answers carries them: the operator has restored or upgraded the cluster.
    void recover(const moment& at);
    /// False: there is no such scope.
    bool force(std::string_view scope, breaker_force how, const moment& at);
    /// What operators have changed since.
    void set_values(const config::cluster_values& values, const moment& at);

    // ------------------------------------------------------------------------------- what follows

    /// Draws the conclusions. True: something that pools act on has changed since the last call.
    [[nodiscard]] bool conclude(const moment& at);
    [[nodiscard]] const cluster_view& view() const { return view_; }
    /// Events since the last call; their `when` is for the caller to fill in.
    [[nodiscard]] std::vector<cluster_event> take_events();
    [[nodiscard]] host_errand next_errand(std::size_t index, time_point now) const;
    /// When, after `now`, conclusions change by time alone; nothing: not at all.
    [[nodiscard]] std::optional<time_point> next_conclusion(time_point now) const;
    /// Number of the newest sample that was asked for (D28). Never 0: that is what a session has that never wrote.
    [[nodiscard]] std::uint64_t newest_sample() const { return samples_.newest(); }

private:
    struct standing {
        bool old_primary_told = false;
        bool other_system_told = false;
        bool was_synchronous = false;  // when the primary was lost
        bool was_down = false;
        bool breaker_open = false;
        std::uint64_t replayed_sample = 0;
        std::string started_at;
        bool read_only_told = false;
        time_point candidate_since{};  // since when it says that it is a primary
        receiver_name receiver;        // as it was seen streaming last
        time_point streamed_at{};
    };

    [[nodiscard]] bool same_system(const host_watch& host) const;
    [[nodiscard]] bool is_candidate(std::size_t index) const;
    [[nodiscard]] bool is_usable(std::size_t index) const;
    [[nodiscard]] std::optional<std::string> why_lost(std::size_t index) const;
    [[nodiscard]] bool settled(const moment& at) const;
    void watch_roles(const moment& at);
    void lose_primary(const std::string& why, const moment& at);
    void adopt(std::size_t index, const moment& at);
    void note_hosts();
    void note_synchronous(const moment& at);
    [[nodiscard]] bool is_rival(std::size_t index);
    [[nodiscard]] std::vector<std::size_t> candidates(const moment& at);
    void choose(const std::vector<std::size_t>& candidates, const moment& at);
    void note_role(std::size_t index);
    void judge_informed(const moment& at);
    void judge_urgency(const moment& at);
    void judge_mode(const moment& at);
    [[nodiscard]] write_way judge_writes(std::string& cause) const;
    [[nodiscard]] service_rules waiting_rules() const {
        return {rules_.hold_timeout, rules_.read_only.enabled, rules_.breaker.enabled};
    }
    void enter(service_mode mode, std::string cause, const moment& at);
    [[nodiscard]] std::string cause_of_loss() const;

    void judge_write();
    [[nodiscard]] breaker_cause why_no_writes() const;
    void judge_storage(const moment& at);
    void fill_view();
    void fill_host(std::size_t index, host_view& to) const;
    [[nodiscard]] std::optional<std::uint64_t> lag_bytes(std::size_t index) const;
    [[nodiscard]] std::optional<std::chrono::milliseconds> lag_time(std::size_t index) const;
    [[nodiscard]] bool is_readable(std::size_t index, const host_view& seen) const;
    [[nodiscard]] std::vector<std::size_t> readable_hosts() const;

    void tell(std::string name, std::string sentence, bool warning);

    cluster_rules rules_;
    std::vector<std::string> addresses_;
    std::vector<host_watch> hosts_;
    std::vector<standing> standing_;
    wal_samples samples_;
    lineage lineage_;
    std::optional<std::uint64_t> written_;     // by the primary, as of its last answer
    std::map<unsigned, std::size_t> waiting_;  // by worker

    std::optional<std::size_t> primary_;
    std::optional<std::size_t> last_primary_;
    std::string system_;  // identifier of what was adopted; empty: nothing, or it is not shown
    std::uint32_t timeline_ = 0;
    bool two_primaries_ = false;
    storage_watch storage_;  // of the primary
    bool storage_told_ = false;
    std::string why_lost_;
    time_point begun_{};
    time_point lost_since_{};  // when the primary was lost, or watching began
    std::optional<time_point> urgent_since_;
    std::vector<replica_row> replicas_;  // as the primary saw them last
    std::string synchronous_names_;

    bool informed_ = false;
    bool held_ = false;
    breaker_force write_force_ = breaker_force::automatic;

    cluster_view view_;
    std::vector<cluster_event> events_;
};

}  // namespace pgsteady
