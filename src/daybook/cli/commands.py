"""`daybook serve`, `import`, `inspect`, `stats`, `verify`, `rejects`, `generate`."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from daybook.cli import profile_options

app = typer.Typer(
    help="Exact daily totals of payment transactions: every row counts exactly once, to the cent.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes around the help would take half of its time
    context_settings={"help_option_names": ["-h", "--help"]},
)


rejects = typer.Typer(help="Export rejected rows as CSV; import the corrected rows.", no_args_is_help=True)
app.add_typer(rejects, name="rejects")
sources = typer.Typer(help="List the imported sources; release or drop a held one; take one back.")
app.add_typer(sources, name="sources")


class Format(StrEnum):
    """Format of printed totals."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class Division(StrEnum):
    """Division of printed totals."""

    SOURCE = "source"


Day = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"])]


Output = Annotated[Format, typer.Option("--format", help="Format of the output.")]
SourceName = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A source's id, the beginning of one, or an imported file.")
]
Asker = Annotated[str, typer.Option("--by", help="Who asks for it; without it the user of this machine.")]
Reason = Annotated[str, typer.Option(help="The reason, which stays with the source.")]


def _print_version(*, wanted: bool) -> None:
    if wanted:
        from daybook import __version__

        typer.echo(f"daybook {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def serve() -> None:
    """Run the service until SIGTERM or Ctrl-C. Settings come from the environment or from `.env`."""
    import uvloop

    from daybook import logs, memory, serve, settings

    memory.tune()
    logs.configure()
    uvloop.run(serve.serve(settings.load()))


@app.command("import")
def import_files(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="CSV files, plain, gzip or zip; - for standard input.")
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of what standard input (-) holds, such as ledger-2026-01.")
    ] = None,
    replay_speed: Annotated[
        float, typer.Option(min=0, help="Speed of the pauses in sleep_ms: 1 as written, 10 ten times faster, 0 none.")
    ] = 0,
    complete: Annotated[bool, typer.Option("--complete", help="Count a last line that has no line end.")] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Import also what looks imported before, and files of mostly bad rows.")
    ] = False,
    replace: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Take this source back in the step that adds the file's rows.")
    ] = None,
    why: Reason = "",
    by: Asker = "",
    map_: profile_options.Map = None,
    date_format: profile_options.DateFormat = None,
    time_zone: profile_options.TimeZone = None,
    type_map: profile_options.TypeMap = None,
    delimiter: profile_options.Delimiter = None,
    decimal: profile_options.Decimal = None,
    thousands: profile_options.Thousands = None,
    currency_sign: profile_options.CurrencySign = None,
    encoding: profile_options.Encoding = None,
) -> None:
    """Import files and wait until all rows are applied. Each row counts once. The service may run or not."""
    import uvloop

    from daybook import memory, settings
    from daybook.cli import standard_input
    from daybook.cli.importing import import_all

    memory.tune()
    from_standard_input = standard_input.is_told(files, name)
    loaded = settings.load(replay_speed=replay_speed)
    texts = {
        "date-format": date_format, "time-zone": time_zone, "delimiter": delimiter, "decimal": decimal,
        "thousands": thousands, "currency-sign": currency_sign, "encoding": encoding,
    }  # fmt: skip
    told = profile_options.told(map_, type_map, texts)
    if from_standard_input:
        files = [standard_input.keep(loaded, name or "")]
    if replace is not None:
        from daybook.cli import reverting

        if len(files) != 1:
            raise typer.BadParameter("--replace takes one FILE")
        replacing = reverting.replace(loaded, replace, files[0], by, why, complete=complete, told=told)
        reverting.tell_replaced(uvloop.run(replacing))
        return
    raise typer.Exit(uvloop.run(import_all(loaded, files, complete=complete, anyway=anyway, told=told)))


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to look at; nothing is imported.")],
) -> None:
    """Say what a file's first rows are, and print the import profile (TOML) that would make them pass, for review."""
    from daybook import settings
    from daybook.cli.inspecting import inspect_file

    for line in inspect_file(settings.load(), file):
        typer.echo(line)


@app.command()
def stats(
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="First day, or a month or a year.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day, included.")] = None,
    output: Annotated[Format, typer.Option("--format", help="Format of the output.")] = Format.TABLE,
    by: Annotated[Division | None, typer.Option("--by", help="Show what each source added to the totals.")] = None,
) -> None:
    """Print the totals of a range of days, else of the last month that has any. The service may run or not."""
    from daybook import settings
    from daybook.cli import dates, ending, reporting

    try:
        begin = None if first is None else dates.parse(first).first
        end = None if last is None else dates.parse(last).last
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if by is Division.SOURCE:
        from daybook.cli import reporting_by_source

        found = ending.run(reporting_by_source.load(settings.load(), begin, end))
        reporting_by_source.PRINTERS[output.value](found)
        return
    reporting.print_report(ending.run(reporting.load_report(settings.load(), begin, end)), output.value)


@app.command()
def verify(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Imported files; without names, all that still exist."),
    ] = None,
) -> None:
    """Recompute files row by row and compare with both stores, to the row and the cent. Exit code 1 if they differ."""
    from daybook import settings
    from daybook.cli import ending, verifying

    if not ending.run(verifying.verify(settings.load(), files or [])):
        raise typer.Exit(1)


@rejects.command("export")
def export_rejects(
    source: Annotated[str, typer.Argument(metavar="FILE|SOURCE", help="An imported file or the id of its source.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; else standard output.")] = None,
    spreadsheet_safe: Annotated[
        bool,
        typer.Option("--spreadsheet-safe", help="Put an apostrophe before cells that a spreadsheet would compute."),
    ] = False,
) -> None:
    """Write the rejects without a correction as CSV: the file's own columns and the reason."""
    from daybook import settings
    from daybook.cli import ending, rejecting
    from daybook.logs import printable

    rows = ending.run(rejecting.export(settings.load(), source, output, spreadsheet_safe=spreadsheet_safe))
    if output is not None:
        typer.echo(f"{printable(str(output))}: {rows} rejected rows")


@rejects.command("import")
def import_rejects(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Exported files with corrected rows.")],
) -> None:
    """Import corrected rows. Each counts once, in the place of the rejected row that it names."""
    import uvloop

    from daybook import memory, settings
    from daybook.cli import rejecting

    memory.tune()
    raise typer.Exit(uvloop.run(rejecting.import_corrections(settings.load(replay_speed=0.0), files)))


@sources.command("revert")
def revert_source(
    source: Annotated[str, typer.Argument(metavar="FILE|SOURCE", help="An imported file or the id of its source.")],
    why: Annotated[str, typer.Option(help="The reason, which stays with the source.")],
    by: Asker = "",
) -> None:
    """Take back all that a source counted, once, in one step. The source stays listed as reverted."""
    import uvloop

    from daybook import memory, settings
    from daybook.cli import reverting

    memory.tune()
    reverting.tell_reverted(uvloop.run(reverting.revert(settings.load(), source, by, why)))


@sources.callback(invoke_without_command=True)
def list_sources(context: typer.Context, output: Output = Format.TABLE) -> None:
    """List the imported sources; release or drop a held one; take one back. The service may run or not."""
    if context.invoked_subcommand is not None:
        return
    from daybook import settings
    from daybook.cli import ending, listing

    listing.print_list(ending.run(listing.load(settings.load())), output.value)


@sources.command("show")
def show_source(source: SourceName, output: Output = Format.TABLE) -> None:
    """Print all that is known of a source."""
    from daybook import settings
    from daybook.cli import ending, listing

    listing.print_one(ending.run(listing.load_one(settings.load(), source)), output.value)


@sources.command("release")
def release_source(source: SourceName) -> None:
    """Let a held or dropped source be imported."""
    from daybook import settings
    from daybook.books import source_list
    from daybook.cli import ending, listing

    listing.tell_changed(ending.run(listing.change(settings.load(), source, source_list.release)))


@sources.command("drop")
def drop_source(source: SourceName) -> None:
    """Never read a held source. It stays listed, and its file stays where it is."""
    from daybook import settings
    from daybook.books import source_list
    from daybook.cli import ending, listing

    listing.tell_changed(ending.run(listing.change(settings.load(), source, source_list.drop)))


@app.command()
def generate(
    file: Annotated[Path, typer.Argument(help="File to write; a name that ends in .gz is compressed.")],
    rows: Annotated[int, typer.Option(min=0, help="Number of rows.")] = 5000,
    first_day: Day = datetime(2026, 1, 1),  # noqa: DTZ001 - a day
    days: Annotated[int, typer.Option(min=1, help="Number of days.")] = 31,
    methods: Annotated[int, typer.Option(min=1, help="Number of payment methods.")] = 5,
    out_of_order: Annotated[float, typer.Option(min=0, max=1, help="Share of rows out of order.")] = 1.0,
    bad_rows: Annotated[float, typer.Option(min=0, max=1, help="Share of rows that break a rule.")] = 0.0,
    seconds: Annotated[float, typer.Option(min=0, help="Sum of all pauses in sleep_ms.")] = 60.0,
    seed: int = 1,
) -> None:
    """Write a sample file. The same options give the same bytes."""
    from daybook.cli.generating import generate_file
    from daybook.sample import SampleSpec

    generate_file(
        SampleSpec(
            rows=rows,
            first_day=first_day.date(),
            days=days,
            methods=methods,
            out_of_order=out_of_order,
            bad_rows=bad_rows,
            seconds=seconds,
            seed=seed,
        ),
        file,
    )
