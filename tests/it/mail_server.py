"""A mail server for tests: takes mail over SMTP, with STARTTLS and a login where asked, and keeps it in a folder.

    python mail_server.py FOLDER [--tls CERTIFICATE KEY [--tls-first]] [--login USER PASSWORD]

TLS begins with STARTTLS, or with the first byte where that is asked for.

Says `listening PORT` once it does. Each mail taken is FOLDER/NUMBER.eml, and FOLDER/NUMBER.json says how it came. Some
recipients are special, by the part before the `@`:

    unknown      refused: 550 5.1.1
    greylisted   put off the first time a mail comes for it: 450 4.2.0
    lost         taken, but the first time the connection ends before the answer
"""

import argparse
import asyncio
import json
import os
import ssl

from aiosmtpd.smtp import SMTP, AuthResult


class Keeper:
    """Decides about recipients and keeps what is taken."""

    def __init__(self, folder):
        self.folder = folder
        self.count = 0
        self.met = set()

    def first_time(self, word):
        first = word not in self.met
        self.met.add(word)
        return first

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name == "unknown":
            return "550 5.1.1 nobody of that name here"
        if name == "greylisted" and self.first_time(name):
            return "450 4.2.0 come again in a minute"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 fine"

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        path = os.path.join(self.folder, f"{self.count:04}")
        user = session.auth_data.login.decode() if session.authenticated else None
        with open(path + ".eml", "wb") as mail:
            mail.write(envelope.original_content)
        how = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "user": user,
        }
        with open(path + ".tmp", "w") as file:
            json.dump(how, file)
        os.rename(path + ".tmp", path + ".json")
        if envelope.rcpt_tos[0].startswith("lost@") and self.first_time("lost"):
            server.transport.abort()
            return "250 nobody hears this"
        return "250 2.0.0 taken"


def authenticator(user, password):
    def check(server, session, envelope, mechanism, given):
        right = getattr(given, "login", None) == user.encode() and given.password == password.encode()
        return AuthResult(success=right, handled=right or False, auth_data=given if right else None)

    return check


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder")
    arguments.add_argument("--tls", nargs=2)
    arguments.add_argument("--tls-first", action="store_true")
    arguments.add_argument("--login", nargs=2)
    given = arguments.parse_args()
    options = {"hostname": "localhost", "enable_SMTPUTF8": False}
    context = None
    if given.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*given.tls)
    starttls = context is not None and not given.tls_first
    if starttls:
        options.update(tls_context=context, require_starttls=True)
    if given.login:
        options.update(
            authenticator=authenticator(*given.login),
            auth_required=True,
            auth_require_tls=starttls,
        )
    keeper = Keeper(given.folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(keeper, **options), "127.0.0.1", 0, ssl=None if starttls else context)
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
