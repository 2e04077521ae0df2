// See scripted_server.hpp. Messages and transactions are here; statements are in scripted_statements.cpp.
#include "tests/support/scripted_server.hpp"

#include "protocol/wire.hpp"

#include "tests/support/proof_answers.hpp"
#include "tests/support/sql_pieces.hpp"
#include "tests/support/wire_builders.hpp"

#include <algorithm>

namespace pgsteady::testing {

scripted_server::scripted_server(scripted_database& database, const startup_list& startup)
    : database_(database), settings_(startup), startup_(settings_), announced_(settings_.reported()) {}

std::string scripted_server::feed(std::string_view bytes) {
    in_ += bytes;
    while (!closed_ && in_.size() >= 5) {
        wire_reader length(std::string_view(in_).substr(1, 4));
        const std::size_t total = static_cast<std::size_t>(length.u32().value_or(0)) + 1;
        if (in_.size() < total) break;
        const std::string message = in_.substr(0, total);
        in_.erase(0, total);
        take(message[0], std::string_view(message).substr(5));
    }
    return std::exchange(out_, {});
}

void scripted_server::disconnect() {
    settle_xid(false);
    pending_.clear();
    closed_ = true;
}

void scripted_server::take(char type, std::string_view body) {
    if (type == 'X') return disconnect();
    if (copy_) return take_copy(type, body);
    if (type == 'S') {
        skipping_ = false;
        return finish_request();
    }
    if (skipping_) return;
    const bool extended = std::string_view("PBDEC").find(type) != std::string_view::npos;
    try {
        switch (type) {
            case 'Q': return on_query(body);
            case 'P': return on_parse(body);
            case 'B': return on_bind(body);
            case 'D': return on_describe(body);
            case 'E': return on_execute(body);
            case 'C': return on_close(body);
            case 'F':
                if (state_ == transaction::failed) begin_command({});
                out_ += frame_of('V', std::string("\0\0\0\1x", 5));
                return finish_request();
            case 'H':
            case 'd':
            case 'c':
            case 'f': return;
            default: throw sql_error("08P01", std::string("invalid frontend message type ") + type, "FATAL");
        }
    } catch (const sql_error& error) {
        on_error(error, extended);
    }
}

void scripted_server::on_error(const sql_error& error, bool extended) {
    copy_.reset();
    portals_.clear();
    out_ += server::error(error.sqlstate, error.what(), error.severity);
    if (error.severity == "FATAL") return disconnect();
    if (state_ == transaction::implicit || state_ == transaction::none) {
        roll_back();
    } else {
        state_ = transaction::failed;
    }
    if (extended) {
        skipping_ = true;
    } else {
        finish_request();
    }
}

/// Sync, or the end of a Query: an implicit transaction commits, then ReadyForQuery.
void scripted_server::finish_request() {
    if (state_ == transaction::implicit) commit();
    report_changes();
    out_ += server::ready(status());
}

void scripted_server::report_changes() {
    auto now = settings_.reported();
    for (const auto& [name, value] : now)
        if (announced_[name] != value) out_ += server::parameter(name, value);
    announced_ = std::move(now);
}

// ------------------------------------------------------------------------------------------ simple

void scripted_server::on_query(std::string_view body) {
    statements_.erase("");
    portals_.erase("");
    const std::string_view sql = body.substr(0, body.find('\0'));
    if (is_proof_question(sql)) return answer_catalogue(sql);
    const std::vector<sql_statement> all = split_sql(sql);
    for (const sql_statement& each : all) (void)columns_of(each);  // grammar first: an error there runs nothing
    if (all.empty()) out_ += frame_of('I');
    run_statements({all.begin(), all.end()});
}

/// Everything that it can do is harmless by its functions; relations are tables.
void scripted_server::answer_catalogue(std::string_view sql) {
    begin_command({});
    out_ += server::row_description({"part", "number", "verdict", "text"});
    const proof_rows rows = answer_proof(sql, [&](char part, const std::string& name) -> std::string {
        if (part != 'r') return "ok";
        return name == "log" || temporary_.contains(name) || database_.tables.contains(name) ? "r" : "missing";
    });
    for (const values& each : rows) out_ += server::row(each);
    out_ += server::complete("SELECT " + std::to_string(rows.size()));
    finish_request();
}

void scripted_server::run_statements(std::deque<sql_statement> statements) {
    while (!statements.empty()) {
        const sql_statement statement = std::move(statements.front());
        statements.pop_front();
        begin_command(statement);
        answer result = run(statement, {});
        if (!result.columns.empty()) out_ += server::row_description(result.columns);
        if (result.copies_out) out_ += frame_of('H', std::string("\0\0\0", 3));
        for (const values& each : result.rows)
            out_ += result.copies_out ? frame_of('d', each.front().value_or("") + '\n') : server::row(each);
        if (result.copies_out) out_ += frame_of('c');
        if (result.copies_in) {
            out_ += frame_of('G', std::string("\0\0\0", 3));
            copy_ = copy_in{false, {}, 0, std::move(statements)};
            return;
        }
        out_ += server::complete(result.tag);
    }
    finish_request();
}

// ------------------------------------------------------------------------------------------ COPY in

void scripted_server::take_copy(char type, std::string_view body) {
    const bool extended = copy_->extended;
    try {
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
                    add_row(std::exchange(copy_->line, {}));
                    ++copy_->rows;
                }
                return;
            case 'f':
                throw sql_error("57014", "COPY from stdin failed: " + std::string(body.substr(0, body.find('\0'))));
            case 'c': {
                const copy_in done = *std::exchange(copy_, std::nullopt);
                out_ += server::complete("COPY " + std::to_string(done.rows));
                if (!extended) run_statements(done.rest);
                return;
            }
            default:
                out_ += server::error("08P01", "unexpected message type during COPY from stdin");
                throw sql_error("08P01", "terminating connection because protocol synchronization was lost", "FATAL");
        }
    } catch (const sql_error& error) {
        on_error(error, extended);
    }
}

// ------------------------------------------------------------------------------------------ extended

void scripted_server::on_parse(std::string_view body) {
    wire_reader in(body);
    const std::string name(in.cstring().value_or(""));
    const std::vector<sql_statement> all = split_sql(modelled(in.cstring().value_or("")));
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

void scripted_server::on_bind(std::string_view body) {
    bind_message asked = read_bind(body);
    const std::string& name = asked.portal;
    const std::string& statement = asked.statement;
    portal made;
    made.parameters = std::move(asked.parameters);
    const auto at = statements_.find(statement);
    if (at == statements_.end()) {
        throw sql_error("26000", statement.empty() ? "unnamed prepared statement does not exist"
                                                   : "prepared statement \"" + statement + "\" does not exist");
    }
    if (made.parameters.size() != at->second.parameters) {
        throw sql_error("08P01", "bind message supplies " + std::to_string(made.parameters.size()) +
                                     " parameters, but prepared statement \"" + statement + "\" requires " +
                                     std::to_string(at->second.parameters));
    }
    if (at->second.statement) begin_command(*at->second.statement);
    if (!name.empty() && portals_.contains(name)) throw sql_error("42P03", "cursor \"" + name + "\" already exists");
    made.statement = at->second.statement;
    portals_[name] = std::move(made);
    out_ += frame_of('2');
}

void scripted_server::on_describe(std::string_view body) {
    const char kind = body.front();
    const std::string name(body.substr(1, body.size() - 2));
    const std::optional<sql_statement>* statement = nullptr;
    if (kind == 'S') {
        const auto at = statements_.find(name);
        if (at == statements_.end()) throw sql_error("26000", "prepared statement \"" + name + "\" does not exist");
        statement = &at->second.statement;
        std::string types;
        put_u16(types, static_cast<std::uint16_t>(at->second.parameters));
        for (std::size_t i = 0; i < at->second.parameters; ++i) put_u32(types, 25);
        const bool rows = *statement && !columns_of(**statement).empty();
        if (rows && state_ == transaction::failed) begin_command(**statement);
        out_ += frame_of('t', types);
    } else {
        const auto at = portals_.find(name);
        if (at == portals_.end()) throw sql_error("34000", "portal \"" + name + "\" does not exist");
        statement = &at->second.statement;
    }
    const std::vector<std::string> columns = *statement ? columns_of(**statement) : std::vector<std::string>();
    out_ += columns.empty() ? frame_of('n') : server::row_description(columns);
}

void scripted_server::on_execute(std::string_view body) {
    wire_reader in(body);
    const std::string name(in.cstring().value_or(""));
    const std::uint32_t limit = in.u32().value_or(0);
    const auto at = portals_.find(name);
    if (at == portals_.end()) throw sql_error("34000", "portal \"" + name + "\" does not exist");
    if (!at->second.statement) {
        out_ += frame_of('I');
        return;
    }
    const sql_statement statement = *at->second.statement;
    begin_command(statement);
    if (at->second.done && columns_of(statement).empty())
        throw sql_error("55000", "portal \"" + name + "\" cannot be run");
    if (!at->second.result) {
        answer result = run(statement, at->second.parameters);
        if (result.copies_in) {
            out_ += frame_of('G', std::string("\0\0\0", 3));
            copy_ = copy_in{true, {}, 0, {}};
            return;
        }
        const auto still = portals_.find(name);  // a COMMIT takes the portals with it
        if (still == portals_.end()) {
            out_ += server::complete(result.tag);
            return;
        }
        still->second.result = std::move(result);
    }
    portal& running = portals_.at(name);
    answer& result = *running.result;
    if (result.copies_out) out_ += frame_of('H', std::string("\0\0\0", 3));
    std::size_t sent = 0;
    for (; !result.rows.empty() && (limit == 0 || sent < limit); ++sent) {
        out_ += result.copies_out ? frame_of('d', result.rows.front().front().value_or("") + '\n')
                                  : server::row(result.rows.front());
        result.rows.pop_front();
    }
    if (result.copies_out) out_ += frame_of('c');
    if (limit != 0 && sent == limit && !result.columns.empty()) {
        out_ += frame_of('s');
        return;
    }
    running.done = true;
    out_ += server::complete(result.tag.starts_with("SELECT") ? "SELECT " + std::to_string(sent) : result.tag);
}

void scripted_server::on_close(std::string_view body) {
    const std::string name(body.substr(1, body.size() - 2));
    if (body.front() == 'S') statements_.erase(name);
    else portals_.erase(name);
    out_ += frame_of('3');
}

// ------------------------------------------------------------------------------------------ transactions

void scripted_server::begin_command(const sql_statement& statement) {
    if (state_ == transaction::failed && !ends_transaction(statement))
        throw sql_error("25P02", "current transaction is aborted, commands ignored until end of transaction block");
    if (state_ != transaction::none) return;
    state_ = transaction::implicit;
    read_only_ = settings_.get("default_transaction_read_only") == "on";
    wanted_ = channels_;
    begun_ = snapshot{{}, settings_, 0, wanted_, temporary_};
}

void scripted_server::end_transaction() {
    settings_.end_transaction();
    pending_.clear();
    savepoints_.clear();
    begun_.reset();
    portals_.clear();
    state_ = transaction::none;
}

void scripted_server::commit() {
    settle_xid(true);
    channels_ = wanted_;
    database_.log.insert(database_.log.end(), pending_.begin(), pending_.end());
    end_transaction();
}

void scripted_server::roll_back() {
    settle_xid(false);
    if (begun_) settings_ = begun_->settings, temporary_ = begun_->temporary;
    end_transaction();
}

void scripted_server::add_row(std::string value) {
    pending_.push_back(std::move(value));
    database_.wal += 100;
    if (xid_ == 0) database_.transactions[xid_ = database_.next_xid++] = "in progress";
}

void scripted_server::settle_xid(bool committed) {
    if (xid_ != 0) database_.transactions[xid_] = committed ? "committed" : "aborted";
    xid_ = 0;
}

/// A marker, or the number that it bears.
std::optional<std::string> scripted_server::capture(bool marker, bool forced) {
    if (!database_.capture_refusal.empty())
        throw sql_error(database_.capture_refusal, "the capture is refused", database_.capture_severity);
    if (xid_ == 0 && forced) database_.transactions[xid_ = database_.next_xid++] = "in progress";
    if (xid_ == 0) return std::nullopt;
    if (!marker) return std::to_string(xid_);
    ++database_.captures;
    database_.wal += 56;
    std::string digits;
    for (std::uint64_t rest = database_.wal; rest != 0; rest /= 16) digits.insert(0, 1, "0123456789ABCDEF"[rest % 16]);
    return "0/" + digits;
}

}  // namespace pgsteady::testing
