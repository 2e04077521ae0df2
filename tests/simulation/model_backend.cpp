// Messages of a modelled backend. See model_backend.hpp; transactions and statements have files of their own.
#include "tests/simulation/model_backend.hpp"

#include "protocol/wire.hpp"

#include "tests/simulation/model_host.hpp"
#include "tests/support/proof_answers.hpp"
#include "tests/support/sql_pieces.hpp"
#include "tests/support/wire_builders.hpp"

#include <algorithm>

namespace pgsteady::simulation {

using testing::frame_of;
namespace server = testing::server;

namespace {

constexpr micros connection_check = 1'000'000;  // client_connection_check_interval, as the product sets it

std::string farewell(char type, std::string_view severity, std::string_view sqlstate, std::string_view message,
                     std::string_view routine) {
    std::string body;
    const auto field = [&](char code, std::string_view value) {
        body += code;
        put_cstring(body, value);
    };
    field('S', severity);
    field('V', severity);
    field('C', sqlstate);
    field('M', message);
    field('R', routine);
    body += '\0';
    return frame_of(type, body);
}

}  // namespace

model_backend::model_backend(model_host& host, std::int32_t number,
                             const std::vector<std::pair<std::string, std::string>>& startup)
    : pid(number), host_(host), settings_(startup), startup_(settings_), announced_(settings_.reported()) {}

std::optional<micros> model_backend::wakes_at() const {
    if (ended_) return std::nullopt;
    std::optional<micros> at;
    if (!work_.empty() && started_ && until_ > host_.now) at = until_;
    if (sleeps_until_ && *sleeps_until_ > host_.now) at = *sleeps_until_;
    if (peer_gone_ && peer_gone_at_ + connection_check > host_.now)
        at = std::min(at.value_or(peer_gone_at_ + connection_check), peer_gone_at_ + connection_check);
    return at;
}

bool model_backend::advance() {
    bool any = false;
    while (!ended_ && one_step()) any = true;
    return any;
}

bool model_backend::one_step() {
    const bool committing = commit_.phase != commit_phase::none;
    if (terminating_ && !committing) {
        leave(sql_error("57P01", "terminating connection due to administrator command", "FATAL"));
        return true;
    }
    const bool waits = waits_for_ != nullptr || sleeps_until_.has_value();
    if (peer_gone_ && waits && host_.now >= peer_gone_at_ + connection_check) {
        leave(sql_error("08006", "connection to client lost", "FATAL"));
        return true;
    }
    if (work_.empty()) {
        cancelled_ = false;  // it came too late
        if (in_.size() >= 5) {
            wire_reader length(std::string_view(in_).substr(1, 4));
            const std::size_t total = static_cast<std::size_t>(length.u32().value_or(0)) + 1;
            if (in_.size() >= total) {
                const std::string message = in_.substr(0, total);
                in_.erase(0, total);
                started_ = false;
                take(message[0], std::string_view(message).substr(5));
                return true;
            }
        }
        if (!peer_gone_) return false;
        roll_back();
        ended_ = true;
        return true;
    }
    if (!started_) {
        started_ = true;
        until_ = host_.now + host_.latency();
    }
    if (host_.now < until_ && !terminating_) return false;
    waits_for_ = nullptr;
    step next = std::move(work_.front());
    work_.pop_front();
    try {
        if (std::exchange(cancelled_, cancelled_ && committing) && !committing)
            throw sql_error("57014", "canceling statement due to user request");
        if (!next()) {
            if (!ended_) work_.push_front(std::move(next));
            return ended_;
        }
        started_ = false;
    } catch (const sql_error& error) {
        started_ = false;
        on_error(error, extended_);
    }
    return true;
}

// ------------------------------------------------------------------------------------------ ends

void model_backend::peer_closed(bool reset) {
    if (peer_gone_) return;
    peer_gone_ = true;
    peer_gone_at_ = host_.now;
    // What the process has read into its own buffer stays.
    if (reset && (host_.chance == nullptr || host_.chance->one_in(2))) in_.clear();
}

void model_backend::leave(const sql_error& why) {
    roll_back();
    out_ += server::error(why.sqlstate, why.what(), why.severity);
    die();
}

void model_backend::quickdie(std::string_view sqlstate, std::string_view message) {
    if (ended_) return;
    out_ += farewell('N', "WARNING", sqlstate, message, "quickdie");
    die();
}

void model_backend::die() {
    ended_ = true;
    work_.clear();
    waits_for_ = nullptr;
}

// ------------------------------------------------------------------------------------------ messages

void model_backend::take(char type, std::string_view body) {
    extended_ = std::string_view("PBDEC").find(type) != std::string_view::npos;
    if (extended_) alone_ = true;
    if (type == 'X') {
        roll_back();
        return die();
    }
    try {
        if (copy_) return take_copy(type, body);
        if (type == 'S') {
            skipping_ = false;
            work_.push_back([this] { return finish_request(); });
            return;
        }
        if (skipping_) return;
        switch (type) {
            case 'Q': return on_query(body);
            case 'P': return on_parse(body);
            case 'B': return on_bind(body);
            case 'D': return on_describe(body);
            case 'E': {
                wire_reader in(body);
                const std::string name(in.cstring().value_or(""));
                const std::uint32_t limit = in.u32().value_or(0);
                work_.push_back([this, name, limit] { return on_execute(name, limit); });
                return;
            }
            case 'C': return on_close(body);
            case 'H':
            case 'd':
            case 'c':
            case 'f': return;
            default: throw sql_error("08P01", std::string("invalid frontend message type ") + type, "FATAL");
        }
    } catch (const sql_error& error) {
        on_error(error, extended_);
    }
}

void model_backend::on_error(const sql_error& error, bool extended) {
    if (error.severity == "FATAL") return leave(error);
    copy_.reset();
    portals_.clear();
    work_.clear();
    sleeps_until_.reset();
    out_ += server::error(error.sqlstate, error.what(), error.severity);
    if (state_ == transaction::open || state_ == transaction::failed) {
        fail_transaction();
    } else {
        roll_back();
    }
    if (extended) skipping_ = true;
    else work_.push_back([this] { return finish_request(); });
}

/// Sync, or the end of a Query: an implicit transaction commits, then ReadyForQuery.
bool model_backend::finish_request() {
    try {
        if (state_ == transaction::implicit && !commit()) return false;
    } catch (const sql_error& error) {  // a deferred constraint (E5g, T8)
        out_ += server::error(error.sqlstate, error.what(), error.severity);
        roll_back();
    }
    if (ended_) return true;
    report_changes();
    out_ += std::exchange(standby_words_, {});
    out_ += server::ready(status());
    return true;
}

void model_backend::report_changes() {
    auto values_now = settings_.reported();
    for (const auto& [name, value] : values_now)
        if (announced_[name] != value) out_ += server::parameter(name, value);
    announced_ = std::move(values_now);
}

// ------------------------------------------------------------------------------------------ simple

void model_backend::on_query(std::string_view body) {
    statements_.erase("");
    portals_.erase("");
    const std::string sql(body.substr(0, body.find('\0')));
    if (testing::is_proof_question(sql)) {
        work_.push_back([this, sql] { return emit_catalogue(sql), true; });
    } else {
        const std::vector<sql_statement> all = testing::split_sql(testing::modelled(sql));
        alone_ = all.size() == 1;
        for (const sql_statement& each : all) (void)columns_of(each);  // grammar first: an error there runs nothing
        if (all.empty()) out_ += frame_of('I');
        for (std::size_t i = 0; i < all.size(); ++i)
            work_.push_back(
                [this, one = simple_run{all[i], i + 1 == all.size(), false, {}}]() mutable { return run_simple(one); });
    }
    work_.push_back([this] { return finish_request(); });
}

/// Rows are described before the first is looked for. Unlike an Execute's, the tag of a string's last statement comes when
/// it is committed.
bool model_backend::run_simple(simple_run& one) {
    if (!one.result) {
        begin_command(one.statement);
        const std::vector<std::string> columns = columns_of(one.statement);
        refuse_if_read_only(one.statement);
        if (!columns.empty() && !std::exchange(one.described, true)) out_ += server::row_description(columns);
        one.result = run(one.statement, {});
        if (!one.result) return false;
        if (ended_) return true;
        std::size_t sent = 0;
        emit_rows(*one.result, 0, sent);
        if (one.result->copies_in) {
            out_ += frame_of('G', std::string("\0\0\0", 3));
            copy_ = copy_in{false, one.last, {}, 0, std::move(work_)};
            work_.clear();
            return true;
        }
    }
    if (one.last && state_ == transaction::implicit && !commit()) return false;
    if (ended_) return true;
    out_ += std::exchange(standby_words_, {});
    out_ += server::complete(one.result->tag);
    return true;
}

/// Relations are plain tables, functions are what PostgreSQL says of them.
void model_backend::emit_catalogue(std::string_view sql) {
    static const std::set<std::string> relations = {"accounts", "log", "once"};
    static const std::set<std::string> writers = {"pg_logical_emit_message", "pg_sleep", "set_config"};
    begin_command({});
    out_ += server::row_description({"part", "number", "verdict", "text"});
    const testing::proof_rows rows = testing::answer_proof(sql, [&](char part, const std::string& name) -> std::string {
        if (part == 'f') return writers.contains(name) ? "volatile" : "ok";
        return part != 'r' ? "ok" : relations.contains(name) ? "r" : "missing";
    });
    for (const values& each : rows) out_ += server::row(each);
    out_ += server::complete("SELECT " + std::to_string(rows.size()));
}

/// At most `limit` rows (0: all), counted in `sent`.
void model_backend::emit_rows(answer& result, std::size_t limit, std::size_t& sent) {
    if (result.copies_out) out_ += frame_of('H', std::string("\0\0\0", 3));
    for (; !result.rows.empty() && (limit == 0 || sent < limit); ++sent) {
        out_ += result.copies_out ? frame_of('d', result.rows.front().front().value_or("") + '\n')
                                  : server::row(result.rows.front());
        result.rows.pop_front();
    }
    if (result.copies_out) out_ += frame_of('c');
}

// ------------------------------------------------------------------------------------------ COPY in

void model_backend::take_copy(char type, std::string_view body) {
    const bool extended = extended_ = copy_->extended;
    switch (type) {
        case 'H':
        case 'S': return;  // ignored while copying
        case 'd':
            for (const char c : body) {
                if (c != '\n') {
                    copy_->line += c;
                    continue;
                }
                if (copy_->line == "bad") throw sql_error("22P02", "invalid input in COPY: \"bad\"");
                add({change::kind::log_row, std::exchange(copy_->line, {}), 0, 0});
                ++copy_->rows;
            }
            return;
        case 'f': throw sql_error("57014", "COPY from stdin failed: " + std::string(body.substr(0, body.find('\0'))));
        case 'c': {
            copy_in done = *std::exchange(copy_, std::nullopt);
            answer result;
            result.tag = "COPY " + std::to_string(done.rows);
            if (extended) return void(out_ += server::complete(result.tag));
            work_ = std::move(done.rest);
            work_.push_front(
                [this, one = simple_run{{}, done.last, true, result}]() mutable { return run_simple(one); });
            return;
        }
        default:
            out_ += server::error("08P01", "unexpected message type during COPY from stdin");
            throw sql_error("08P01", "terminating connection because protocol synchronization was lost", "FATAL");
    }
}

// ------------------------------------------------------------------------------------------ extended

void model_backend::on_parse(std::string_view body) {
    wire_reader in(body);
    const std::string name(in.cstring().value_or(""));
    const std::vector<sql_statement> all = testing::split_sql(testing::modelled(in.cstring().value_or("")));
    if (name.empty()) statements_.erase("");
    if (all.size() > 1) throw sql_error("42601", "cannot insert multiple commands into a prepared statement");
    prepared made;
    if (!all.empty()) {
        (void)columns_of(all.front());
        begin_command(all.front());
        if (all.front().is(0, "table")) (void)run_table(all.front().at(1));
        made.statement = all.front();
        made.parameters = all.front().parameters();
    }
    if (!name.empty() && statements_.contains(name))
        throw sql_error("42P05", "prepared statement \"" + name + "\" already exists");
    statements_[name] = std::move(made);
    out_ += frame_of('1');
}

void model_backend::on_bind(std::string_view body) {
    testing::bind_message asked = testing::read_bind(body);
    const std::string& name = asked.portal;
    const std::string& statement = asked.statement;
    portal made;
    made.parameters = std::move(asked.parameters);
    const auto at = statements_.find(statement);
    if (at == statements_.end())
        throw sql_error("26000", statement.empty() ? "unnamed prepared statement does not exist"
                                                   : "prepared statement \"" + statement + "\" does not exist");
    if (made.parameters.size() != at->second.parameters)
        throw sql_error("08P01", "bind message supplies another number of parameters");
    if (at->second.statement) begin_command(*at->second.statement);
    if (!name.empty() && portals_.contains(name)) throw sql_error("42P03", "cursor \"" + name + "\" already exists");
    made.statement = at->second.statement;
    portals_[name] = std::move(made);
    out_ += frame_of('2');
}

void model_backend::on_describe(std::string_view body) {
    const std::string name(body.substr(1, body.size() - 2));
    const std::optional<sql_statement>* statement = nullptr;
    if (body.front() == 'S') {
        const auto at = statements_.find(name);
        if (at == statements_.end()) throw sql_error("26000", "prepared statement \"" + name + "\" does not exist");
        statement = &at->second.statement;
        std::string types;
        put_u16(types, static_cast<std::uint16_t>(at->second.parameters));
        for (std::size_t i = 0; i < at->second.parameters; ++i) put_u32(types, 25);
        if (*statement && !columns_of(**statement).empty() && state_ == transaction::failed) begin_command(**statement);
        out_ += frame_of('t', types);
    } else {
        const auto at = portals_.find(name);
        if (at == portals_.end()) throw sql_error("34000", "portal \"" + name + "\" does not exist");
        statement = &at->second.statement;
    }
    const std::vector<std::string> columns = *statement ? columns_of(**statement) : std::vector<std::string>();
    out_ += columns.empty() ? frame_of('n') : server::row_description(columns);
}

bool model_backend::on_execute(const std::string& name, std::uint32_t limit) {
    const auto at = portals_.find(name);
    if (at == portals_.end()) throw sql_error("34000", "portal \"" + name + "\" does not exist");
    if (!at->second.statement) return out_ += frame_of('I'), true;
    const sql_statement statement = *at->second.statement;
    begin_command(statement);
    if (at->second.done && columns_of(statement).empty())
        throw sql_error("55000", "portal \"" + name + "\" cannot be run");
    if (!at->second.result) {
        std::optional<answer> result = run(statement, at->second.parameters);
        if (!result) return false;
        if (ended_) return true;
        if (result->copies_in) {
            out_ += frame_of('G', std::string("\0\0\0", 3));
            copy_ = copy_in{true, false, {}, 0, {}};
            return true;
        }
        const auto still = portals_.find(name);  // a COMMIT takes the portals with it
        if (still == portals_.end()) {
            out_ += std::exchange(standby_words_, {});
            out_ += server::complete(result->tag);
            return true;
        }
        still->second.result = std::move(result);
    }
    portal& running = portals_.at(name);
    answer& result = *running.result;
    std::size_t sent = 0;
    emit_rows(result, limit, sent);
    if (limit != 0 && sent == limit && !result.columns.empty()) return out_ += frame_of('s'), true;
    running.done = true;
    out_ += server::complete(result.tag.starts_with("SELECT") ? "SELECT " + std::to_string(sent) : result.tag);
    return true;
}

void model_backend::on_close(std::string_view body) {
    const std::string name(body.substr(1, body.size() - 2));
    if (body.front() == 'S') statements_.erase(name);
    else portals_.erase(name);
    out_ += frame_of('3');
}

}  // namespace pgsteady::simulation
