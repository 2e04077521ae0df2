// io_result: how one read or write on a stream ended. A value; it must never own memory or carry payload.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pgsteady::net {

/// `bytes` counts what was moved and is meaningful for every kind: a write may accept some and then block.
struct io_result {
    enum class kind : std::uint8_t {
        ok,           ///< read: at least one byte; write: everything was accepted
        would_block,  ///< read: nothing now, on_readable() will come; write: `bytes` accepted, on_writable() will come
        eof,          ///< read only: the peer ended in order (FIN, with TLS a close_notify)
        error,        ///< the connection is unusable; see error_number or tls_problem
    };

    kind result = kind::ok;
    std::size_t bytes = 0;
    int error_number = 0;               ///< errno of a socket error, 0 if TLS is what failed
    const char* tls_problem = nullptr;  ///< static text of a TLS failure, else nullptr

    /// TLS only: the connection ended without close_notify, so what was read may be cut short (T35).
    [[nodiscard]] bool truncated() const { return tls_problem == truncated_text; }
    [[nodiscard]] bool ok() const { return result == kind::ok; }

    static constexpr char truncated_text_storage[] = "connection ended without TLS close_notify";
    static constexpr const char* truncated_text = truncated_text_storage;
};

}  // namespace pgsteady::net
