"""A FastAPI route that returns given bytes, served as Daybook serves: the ceiling for `/stats`."""

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response

answer = Path(sys.argv[2]).read_bytes()
app = FastAPI()


@app.get("/stats")
async def stats() -> Response:
    return Response(answer, media_type="application/json")


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False)
