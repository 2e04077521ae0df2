// What a server connection does without a client: questions and resets of our own, and what it says meanwhile. See
// server_connection.hpp.
#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/right_of_way.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/server_setup.hpp"
#include "proxy/worker/worker.hpp"

#include <cstdlib>

namespace pgsteady {

namespace {

namespace msg = backend_message;

constexpr std::size_t most_rows = 1000;  // the answers to our own questions have far fewer

}  // namespace

/// `and_then` goes with it in one write; whether it succeeds matters to nobody.
void server_connection::errand(std::string_view sql, phase during, std::string_view and_then) {
    phase_ = during;
    errand_failed_ = errand_answered_ = false;
    errand_problem_ = {};
    link.unnamed_token = 0;
    std::string out;
    for (const std::string_view each : {sql, and_then}) {
        if (!out.empty() && each.empty()) break;
        link.notes.push_back({reply_note::about::maintenance, {}, nullptr, nullptr, nullptr, 0});
        link.tracker.push(owed::query, true);
        out += query_frame(each);
    }
    send(out);
}

std::string server_connection::own_settings() const {
    return own_settings_query(worker_->shared().settings(), link.server_version_num, host_.host.starts_with('/'),
                              *link.applied);
}

void server_connection::start_reset() {
    link.applied = worker_->tables().settings.none();
    errand(pool_->reset_query, phase::resetting, own_settings());
}

// Not more often than this: there are clients that RESET ALL at every turn.
bool server_connection::wants_settling(pool_time now) const {
    return link.own_settings_lost && now - settled_at_ >= std::chrono::seconds(1);
}

void server_connection::start_settling() {
    settled_at_ = worker_->loop().now();
    link.own_settings_lost = false;
    const std::string sql = own_settings();
    if (sql.empty()) return pool_->errand_finished(*this);
    errand(sql, phase::settling);
}

void server_connection::start_fence(const fence_list::question& asked) {
    fence_rows_.clear();
    fence_question_ = asked.number;
    const bool other_rights =
        link.applied->find("role") != nullptr || link.applied->find("session_authorization") != nullptr;
    if (!other_rights) return errand(asked.sql, phase::fencing);
    // The pool's role may end its own backends; what a client has become may not. Until the end of this one query.
    errand("SET LOCAL SESSION AUTHORIZATION DEFAULT; SET LOCAL ROLE NONE; " + asked.sql, phase::fencing);
}

void server_connection::start_search(std::int32_t pid) {
    keepers_.clear();
    errand(right_of_way::question(pid), phase::searching);
}

void server_connection::give_way() {
    const auto self = shared_from_this();
    link.verdict.name = verdict_name::connection_lost;  // by our doing, so it says nothing about the host
    client_->server_lost("its transaction gives way to one that had the same rows before");
}

lost_backend server_connection::identity() const {
    return {.host = link.host,
            .address = host_,
            .tls = uses_tls(),
            .pid = link.backend_pid,
            .cancel_key = link.cancel_key,
            .started = link.backend_started,
            .server_started_at = link.started_at};
}

void server_connection::start_probe() { errand("", phase::probing); }
void server_connection::start_barrier() { errand("", phase::barrier); }
void server_connection::cool_down() { phase_ = phase::cooling; }

void server_connection::cancel_ended() {
    --cancels_;
    if (cancels_ > 0) return;
    if (phase_ == phase::cooling) start_barrier();
    else if (phase_ == phase::abandoned) pool_->lost_idle(*this);
}

void server_connection::wait_for_cancel() {
    phase_ = phase::abandoned;
    resume_reading();
}

std::size_t server_connection::take_unattached(std::string_view in) {
    std::size_t at = 0;
    while (at < in.size() && stream_ != nullptr) {
        const frame_header header = read_frame_header(in.substr(at), 1024 * 1024);
        if (header.state == frame_header::status::need_more) break;
        if (header.state == frame_header::status::malformed) {
            on_lost("malformed message from server", failure_kind::protocol_violation);
            return in.size();
        }
        if (in.size() - at < header.total) break;
        const std::string_view body = in.substr(at + frame_header_size, header.total - frame_header_size);
        at += header.total;
        if (!take_unattached_frame(header.type, body)) return in.size();
    }
    return at;
}

bool server_connection::take_unattached_frame(char type, std::string_view body) {
    const reply_meaning meaning = link.tracker.react(type);
    if (meaning.what == reply_meaning::verdict::unexpected) {
        on_lost("unexpected message from server", failure_kind::protocol_violation);
        return false;
    }
    if (type == msg::parameter_status) {
        wire_reader fields(body);
        const auto name = fields.cstring();
        const auto value = fields.cstring();
        if (!name || !value) return true;
        link.reported = worker_->tables().reported.with(link.reported, *name, *value);
        if (phase_ != phase::setting_up && tells_other_role(*name, *value, link.standby)) pool_->not_primary(*this);
    } else if (type == msg::error_response || type == msg::notice_response) {
        error_fields fields;
        (void)parse_error_fields(body, fields);
        if (type == msg::error_response && !errand_answered_) {
            errand_failed_ = true;
            errand_problem_ = fields;
        }
        // Immediate shutdown and a crash are announced by warnings (T30). Nobody is to get what is about to end.
        const bool may_end = fields.is_fatal() || type == msg::notice_response;
        const recovery_verdict verdict = may_end ? judge(signal_of(fields, doing())) : recovery_verdict{};
        if (verdict.connection_over) {
            link.verdict = verdict;
            link.last_words = fields.severity + ' ' + fields.sqlstate + ' ' + fields.message;
            on_lost(link.last_words, failure_kind::none);
            return false;
        }
    } else if (type == msg::data_row && !errand_answered_) {
        if (phase_ == phase::setting_up) take_setup_row(body, link);
        else if (phase_ == phase::fencing) take_fence_row(body);
        else if (phase_ == phase::searching) take_keeper(body);
    } else if (type == msg::ready_for_query && body.size() == 1) {
        link.transaction_status = body[0];
        errand_answered_ = true;
        if (!link.tracker.empty()) return stream_ != nullptr;
        link.tracker.clear_settled();
        link.notes.clear();
        errand_done();
    }
    return stream_ != nullptr;
}

void server_connection::take_keeper(std::string_view body) {
    wire_reader row(body);
    const auto columns = row.u16();
    if (!columns || *columns != 1 || keepers_.size() >= most_rows) return;
    keepers_.push_back(static_cast<std::int32_t>(std::strtol(std::string(next_column(row)).c_str(), nullptr, 10)));
}

void server_connection::take_fence_row(std::string_view body) {
    wire_reader row(body);
    const auto columns = row.u16();
    if (!columns || *columns != 2 || fence_rows_.size() >= most_rows) return;
    const std::string pid(next_column(row));
    fence_rows_.push_back(
        {static_cast<std::int32_t>(std::strtol(pid.c_str(), nullptr, 10)), std::string(next_column(row))});
}

void server_connection::errand_done() {
    switch (phase_) {
        case phase::setting_up:
            if (errand_failed_ && !std::exchange(asked_less_, true))
                return errand(setup_query(true), phase::setting_up);
            if (errand_failed_) return fail_open({.why = plain_error(sqlstate::internal_error, "set-up query failed")});
            return on_setup_done();
        case phase::resetting:
            if (errand_failed_) return pool_->lost_idle(*this);
            link.applied = worker_->tables().settings.none();
            link.prepared.clear();
            link.only_client = link.names_of = 0;
            link.used_by_others = link.names_uncertain = link.own_settings_lost = false;
            if (!pool_->connect_query.empty()) return errand(pool_->connect_query, phase::preparing_again);
            break;
        case phase::preparing:
            return errand_failed_ || link.transaction_status != 'I' ? on_connect_query_failed() : on_prepared();
        case phase::preparing_again:
            if (errand_failed_ || link.transaction_status != 'I') return pool_->lost_idle(*this);
            break;
        case phase::searching:
            if (!errand_failed_) pool_->keepers_found(link.host, keepers_);
            break;
        case phase::fencing: pool_->fence_answered(fence_question_, fence_rows_, errand_problem_.sqlstate); break;
        default: break;  // an error of a barrier is the late cancel itself
    }
    phase_ = phase::idle;
    pool_->errand_finished(*this);
}

}  // namespace pgsteady
