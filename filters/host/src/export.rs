//! What the module offers to the host.

/// Exports callbacks, each by the name of its handler's path. Export only what the filter needs: the host skips the
/// callbacks that a module lacks, and each one that it has costs every request.
///
/// ```
/// fn on_request_headers(_request: host::ContextId, _count: usize, _end: bool) -> host::Action {
///     host::Action::Continue
/// }
/// host::export!(on_request_headers => on_request_headers);
/// # fn main() {}
/// ```
///
/// | callback | handler |
/// |---|---|
/// | `on_vm_start`, `on_configure` | `fn(root, configuration size: usize) -> bool` |
/// | `on_context_create` | `fn(context, root)` |
/// | `on_tick` | `fn(root)` |
/// | `on_request_headers`, `on_response_headers` | `fn(context, count: usize, end of stream: bool) -> Action` |
/// | `on_request_body`, `on_response_body` | `fn(context, size of the chunk: usize, end of stream: bool) -> Action` |
/// | `on_grpc_receive` | `fn(root, token, size: usize)` |
/// | `on_grpc_close` | `fn(root, token, gRPC status: u32)` |
/// | `on_done` | `fn(context) -> bool` (false: not yet, [`done`](crate::done) follows) |
/// | `on_log`, `on_delete` | `fn(context)` |
#[macro_export]
macro_rules! export {
    ($($callback:ident => $handler:expr),+ $(,)?) => {
        $( $crate::__export_one!($callback, $handler); )+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_one {
    (on_vm_start, $handler:expr) => {
        $crate::__export_fn!(proxy_on_vm_start(root: u32, size: usize) -> u32 {
            let handler: fn($crate::ContextId, usize) -> bool = $handler;
            u32::from(handler(root, size))
        });
    };
    (on_configure, $handler:expr) => {
        $crate::__export_fn!(proxy_on_configure(root: u32, size: usize) -> u32 {
            let handler: fn($crate::ContextId, usize) -> bool = $handler;
            u32::from(handler(root, size))
        });
    };
    (on_context_create, $handler:expr) => {
        $crate::__export_fn!(proxy_on_context_create(context: u32, root: u32) -> () {
            let handler: fn($crate::ContextId, $crate::ContextId) = $handler;
            handler(context, root)
        });
    };
    (on_tick, $handler:expr) => {
        $crate::__export_fn!(proxy_on_tick(root: u32) -> () {
            let handler: fn($crate::ContextId) = $handler;
            handler(root)
        });
    };
    (on_request_headers, $handler:expr) => {
        $crate::__export_step!(proxy_on_request_headers, $handler);
    };
    (on_request_body, $handler:expr) => {
        $crate::__export_step!(proxy_on_request_body, $handler);
    };
    (on_response_headers, $handler:expr) => {
        $crate::__export_step!(proxy_on_response_headers, $handler);
    };
    (on_response_body, $handler:expr) => {
        $crate::__export_step!(proxy_on_response_body, $handler);
    };
    (on_grpc_receive, $handler:expr) => {
        $crate::__export_fn!(proxy_on_grpc_receive(root: u32, token: u32, size: usize) -> () {
            let handler: fn($crate::ContextId, $crate::Token, usize) = $handler;
            handler(root, token, size)
        });
    };
    (on_grpc_close, $handler:expr) => {
        $crate::__export_fn!(proxy_on_grpc_close(root: u32, token: u32, status: u32) -> () {
            let handler: fn($crate::ContextId, $crate::Token, u32) = $handler;
            handler(root, token, status)
        });
    };
    (on_done, $handler:expr) => {
        $crate::__export_fn!(proxy_on_done(context: u32) -> u32 {
            let handler: fn($crate::ContextId) -> bool = $handler;
            u32::from(handler(context))
        });
    };
    (on_log, $handler:expr) => {
        $crate::__export_fn!(proxy_on_log(context: u32) -> () {
            let handler: fn($crate::ContextId) = $handler;
            handler(context)
        });
    };
    (on_delete, $handler:expr) => {
        $crate::__export_fn!(proxy_on_delete(context: u32) -> () {
            let handler: fn($crate::ContextId) = $handler;
            handler(context)
        });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_step {
    ($name:ident, $handler:expr) => {
        $crate::__export_fn!($name(context: u32, amount: usize, end: u32) -> u32 {
            let handler: fn($crate::ContextId, usize, bool) -> $crate::Action = $handler;
            handler(context, amount, end != 0) as u32
        });
    };
}

// Native test binaries may hold several filters, whose exports of one name would collide: there nothing is exported.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_fn {
    ($name:ident($($argument:ident: $type:ty),*) -> $result:ty $body:block) => {
        #[cfg_attr(target_arch = "wasm32", no_mangle)]
        #[allow(dead_code, unreachable_pub)]
        #[doc(hidden)]
        pub extern "C" fn $name($($argument: $type),*) -> $result $body
    };
}

#[cfg(target_arch = "wasm32")]
mod always {
    use core::mem::ManuallyDrop;

    extern "C" {
        fn __wasm_call_ctors();
    }

    /// Runs the constructors once. Without it the linker would wrap every export in a call of them.
    #[no_mangle]
    extern "C" fn _initialize() {
        // SAFETY: the host calls this once, before anything else.
        unsafe { __wasm_call_ctors() }
    }

    /// The version of the ABI, told by the name of an export.
    #[no_mangle]
    extern "C" fn proxy_abi_version_0_2_1() {}

    /// Memory for what the host hands over; it comes back as a `Vec` of exactly this capacity.
    #[no_mangle]
    extern "C" fn proxy_on_memory_allocate(n: usize) -> *mut u8 {
        ManuallyDrop::new(Vec::<u8>::with_capacity(n)).as_mut_ptr()
    }
}
