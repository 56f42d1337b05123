//! The edge of Throughline: HTTP gateway, channel adapters, configuration, commands.
