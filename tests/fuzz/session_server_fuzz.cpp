// Fuzzes a session from the server's side: a client with a fixed script, a server that says anything. The client must
// get whole messages, nothing once the session has ended, nothing before it has asked (but what a server may say at
// any time), and not much more than the server said. The first byte chooses the script, the second the pieces.

#include "protocol/frame.hpp"
#include "protocol/wire.hpp"

#include "proxy/session/session.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace pgsteady;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

std::string message(char type, std::string_view body = {}) {
    std::string out;
    {
        const frame_builder frame(out, type);
        out += body;
    }
    return out;
}

std::string script(std::uint8_t choice) {
    using namespace std::string_view_literals;
    const std::string bind = message('B', "\0s\0\0\0\0\0\0\0"sv) + message('E', "\0\0\0\0\0"sv);
    switch (choice % 8) {
        case 0: return message('Q', "select 1\0"sv);
        case 1: return message('P', "s\0select 1\0\0\0"sv) + bind + message('S') + bind + message('S');
        case 2:
            return message('Q', "set work_mem = 1\0"sv) + message('Q', "reset all\0"sv) + message('Q', "select 1\0"sv);
        case 3: return message('Q', "copy t from stdin\0"sv) + message('d', "x") + message('c') + message('S');
        case 4:
            return message('P', "\0copy t from stdin\0\0\0"sv) + message('B', "\0\0\0\0\0\0\0\0"sv) +
                   message('E', "\0\0\0\0\0"sv) + message('S') + message('d', "x") + message('c') + message('S');
        case 5: return message('Q', "begin; set work_mem = 1; commit\0"sv) + message('F', "\0\0\0\1\0\0\0\0\0\0"sv);
        case 6:
            return message('P', "s\0select 1\0\0\0"sv) + message('P', "s\0select 2\0\0\0"sv) + message('C', "Ss\0"sv) +
                   message('P', "s\0select 1\0\0\0"sv) + message('H') + bind + message('S');
        default: return {};
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    session_tables tables(0);
    pool_facts facts;
    const settings_ptr none = tables.settings.none();
    server_link link;
    link.applied = none;
    link.reported = tables.reported.of({{"TimeZone", "UTC"}});
    facts.known.insert_or_assign(none.get(), pool_facts::accepted{none, link.reported});
    session talk(tables, facts, 1, "key");
    talk.begin({});
    check(talk.ready());

    std::string out;
    std::size_t sent = 0;
    bool ended = false;
    const auto flush = [&] {
        const std::string more = tables.to_client.str();
        check(more.empty() || !ended);
        out += more;
        sent += tables.to_server.size();
        tables.to_client.clear();
        tables.to_server.clear();
        ended = talk.ended();
    };
    flush();
    out.clear();

    std::string unread = script(data[0]);
    const std::size_t script_size = unread.size();
    const auto offer = [&] {
        const std::size_t used = talk.on_client_bytes(unread);
        check(used <= unread.size());
        flush();
        unread.erase(0, used);
    };
    offer();
    const bool attached = talk.take_actions().want_server;
    check(attached == (script_size > 0));
    if (!attached) return 0;
    talk.on_server(link);
    flush();
    offer();

    const std::string_view in(reinterpret_cast<const char*>(data) + 2, size - 2);
    const std::size_t piece = data[1] == 0 ? size : data[1];
    std::string pending;
    for (std::size_t at = 0; at < in.size() && talk.link() != nullptr; at += piece) {
        pending += in.substr(at, piece);
        const std::size_t used = talk.on_server_bytes(pending);
        check(used <= pending.size());
        flush();
        pending.erase(0, used);
        check(pending.size() <= 4 * 64 * 1024 + 5 + piece || talk.link() == nullptr);
        if (talk.link() != nullptr) offer();
    }
    const session_actions asked = talk.take_actions();
    check(talk.link() != nullptr || asked.give_back != session_actions::release::no);
    if (asked.give_back == session_actions::release::reuse) check(link.at_rest());
    if (talk.link() != nullptr && (data[1] & 1) != 0) {
        talk.on_server_lost("gone", "fuzz");
        flush();
    }
    check(out.size() <= in.size() + 8 * 1024 + 64 * script_size);
    check(sent <= 64 * 1024);

    // Whole messages, but for a large one whose server went away in its middle.
    std::string_view rest(out);
    while (!rest.empty()) {
        const frame_header header = read_frame_header(rest);
        check(header.state == frame_header::status::ok);
        if (header.total > rest.size()) {
            check(header.total > 64 * 1024);
            break;
        }
        rest.remove_prefix(header.total);
    }
    return 0;
}
